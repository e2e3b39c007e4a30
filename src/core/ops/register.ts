import * as tf from '@tensorflow/tfjs-core';

import { registerLif } from './lif.js';
import { registerMappedAttention } from './mapped-attention.js';
import { registerRecompute } from './recompute.js';
import { registerResidual } from './residual.js';
import { registerSpikingAttention } from './spiking-attention.js';
import { registerTiledAttention } from './tiled-attention.js';

/**
 * Gives the active backend a composed form of every operation it has no kernel for, and all of them their gradients. Call once
 * after a backend is selected. @throws Error when the standard gradients are missing: a broken installation.
 */
export function registerOperations(): void {
  if (tf.getGradient('Mean') == null) throw new Error('TensorFlow.js has no gradients registered: are two copies of tfjs-core installed?');
  registerLif(tf.getBackend());
  registerSpikingAttention(tf.getBackend());
  registerResidual(tf.getBackend());
  registerRecompute(tf.getBackend());
  registerTiledAttention();
  registerMappedAttention();
}

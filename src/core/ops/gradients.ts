// TensorFlow.js defines the gradients of its operations in tfjs-core, but in Node only tfjs-layers' bundle registers them.
import '@tensorflow/tfjs-layers';
import * as tf from '@tensorflow/tfjs-core';

import { registerSpikingAttention } from './spiking-attention.js';

/**
 * Readies the active backend for training: gradients of the standard operations and of ours, and composed forms of the
 * operations it has no kernel for. Call once after the backend is selected. @throws Error when gradients are missing.
 */
export function registerOperations(): void {
  if (tf.getGradient('Mean') == null) throw new Error('TensorFlow.js has no gradients registered: are two copies of tfjs-core installed?');
  registerSpikingAttention(tf.getBackend());
}

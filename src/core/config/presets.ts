import type { ConfigLayer, PlainObject } from './layers.js';
import { objectLayer } from './layers.js';
import type { PresetName } from './student-settings.js';

/**
 * What each preset sets where the user sets nothing. `practical` is what the schema's own defaults say. `paper` is the
 * published recipe: no learned neurons, spikes written to the stream, gradient through the reset, random start, no rate hinge.
 */
const PRESET_VALUES: Readonly<Record<PresetName, PlainObject>> = {
  practical: {},
  paper: {
    student: {
      timeSteps: 4, detachReset: false, residualWrite: 'spike', learnedNeurons: false, onOff: false, relativeBias: false,
      init: 'random', embeddings: 'random', embeddingGain: 50,
    },
    distill: { featureForm: 'projected', rateHinge: { weight: 0 } },
    train: { learningRate: 5e-4, clipNorm: 0.7 },
  },
};

/** The values of a preset, as the layer between the schema's defaults and the YAML file. */
export function presetLayer(name: PresetName): ConfigLayer {
  return objectLayer(`preset ${name}`, PRESET_VALUES[name]);
}

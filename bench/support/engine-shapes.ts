import type { StudentConfig } from '../../src/core/student/config.js';
import { parameterShapes } from '../../src/core/student/parameters.js';

/** Widths the engine is measured at, all with a head tied to the token embedding. */
export interface EngineShape {
  /** D */ readonly hiddenSize: number;
  readonly layers: number;
  /** H */ readonly heads: number;
  /** F */ readonly feedForwardSize: number;
  /** V */ readonly vocabSize: number;
  /** Positions. */ readonly contextLength: number;
}

export const SHAPE_NAMES = ['15m', '125m', '350m', '1.3b'] as const;
export type ShapeName = (typeof SHAPE_NAMES)[number];

/**
 * Numbers in all tensors, without on/off pairs: 14.7, 125.6, 356.7 and 1,317.4 million (`parameterCount`). The last three are OPT's
 * widths (OPT-350M's without its narrower embedding).
 */
export const ENGINE_SHAPES: Readonly<Record<ShapeName, EngineShape>> = {
  '15m': { hiddenSize: 384, layers: 6, heads: 6, feedForwardSize: 1536, vocabSize: 8192, contextLength: 2048 },
  '125m': { hiddenSize: 768, layers: 12, heads: 12, feedForwardSize: 3072, vocabSize: 50_272, contextLength: 2048 },
  '350m': { hiddenSize: 1024, layers: 24, heads: 16, feedForwardSize: 4096, vocabSize: 50_272, contextLength: 2048 },
  '1.3b': { hiddenSize: 2048, layers: 24, heads: 32, feedForwardSize: 8192, vocabSize: 50_272, contextLength: 2048 },
};

export function isShapeName(name: string): name is ShapeName {
  return (SHAPE_NAMES as readonly string[]).includes(name);
}

/** A student of that shape in our own recipe: learned gains and biases, distance currents, soft reset, current residual. */
export function studentOfShape(shape: EngineShape, neuron: { readonly timeSteps: number; readonly onOff: boolean }): StudentConfig {
  return {
    ...shape,
    neuron: { timeSteps: neuron.timeSteps, decay: 0.9, threshold: 1, reset: 'soft', surrogate: 'atan', surrogateAlpha: 2, detachReset: true },
    residualWrite: 'current', learnedNeurons: true, onOff: neuron.onOff, relativeBias: true, embeddingGain: 1, layerNormEps: 1e-5,
    bosId: null, eosId: null, padId: null,
  };
}

/** Numbers in all tensors of a student. */
export function parameterCount(config: StudentConfig): number {
  return [...parameterShapes(config).values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
}

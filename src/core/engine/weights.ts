import type { StudentConfig } from '../student/config.js';
import type { EngineShape, ImagePlan, MatrixName } from './layout.js';
import type { WeightPrecision } from '../types.js';
import { embeddingRowBytes, SECTION_ALIGNMENT } from './layout.js';

/** Neurons of one site; both addresses are of f32 [width], padding channels have threshold +Infinity. */
export interface PackedNeurons {
  readonly bias: number;
  readonly threshold: number;
}

/** A spiking matrix; see `layout.ts` and `pack-matrix.ts` for how the weights lie. */
export interface PackedLinear {
  readonly weights: number;
  /** f32 [O] (int8) or [⌈I/128⌉][O] (int4); null in float32. */ readonly scales: number | null;
  /** f32 [O], as trained: nothing is folded into it. */ readonly bias: number;
  /** I */ readonly inputs: number;
  /** O */ readonly outputs: number;
  /** Whether its sums go to the residual stream rather than to the next neurons. */ readonly isWrite: boolean;
}

/** The attention neurons of a layer. */
export interface PackedAttention {
  /** f32 [H][biasStride]: reversed[h][C − 1 − distance] is the current of a key `distance` tokens back, over the head's gain. */
  readonly reversed: number;
  readonly biasStride: number;
  /** f32 [H] */ readonly thresholds: number;
}

/** Addresses of one block, in the order it computes. The write neurons exist with `residualWrite: 'spike'` only. */
export interface PackedLayer {
  readonly attentionEntry: PackedNeurons;
  readonly qkv: PackedLinear;
  readonly qkvNeurons: PackedNeurons;
  readonly attention: PackedAttention;
  readonly attentionOut: PackedNeurons;
  readonly out: PackedLinear;
  readonly attentionWrite: PackedNeurons | null;
  readonly feedForwardEntry: PackedNeurons;
  readonly fc1: PackedLinear;
  readonly hiddenNeurons: PackedNeurons;
  readonly fc2: PackedLinear;
  readonly feedForwardWrite: PackedNeurons | null;
}

/** The token embedding, which is the tied head, too. */
export interface PackedEmbedding {
  /** i8 or, in float32, f32 [V][Dp] */ readonly weights: number;
  /** f32 [V]; null in float32. */ readonly scales: number | null;
  readonly rowBytes: number;
}

/** A student's weights in the engine's memory: byte addresses, nothing that must be freed. Plain numbers, so a worker can have it. */
export interface PackedWeights {
  readonly config: StudentConfig;
  readonly shape: EngineShape;
  readonly precision: WeightPrecision;
  readonly layers: readonly PackedLayer[];
  readonly embedding: PackedEmbedding;
  /** f32 [C][Dp] */ readonly positions: number;
  /** Each f32 [Dp]. */ readonly finalNorm: { readonly weight: number; readonly bias: number };
}

/** The addresses of a packed image that starts at `base`. @throws RangeError when `base` is no multiple of 64. */
export function bindWeights(plan: ImagePlan, base: number): PackedWeights {
  if (base % SECTION_ALIGNMENT !== 0) throw new RangeError(`the image starts at byte ${base}, a multiple of ${SECTION_ALIGNMENT} expected`);
  const { config, shape, precision } = plan;
  const find = (name: string): number | null => {
    const section = plan.sections.get(name);
    return section === undefined ? null : base + section.offset;
  };
  const at = (name: string): number => {
    const address = find(name);
    if (address === null) throw new RangeError(`the image has no section ${name}`);
    return address;
  };
  return {
    config, shape, precision,
    layers: Array.from({ length: shape.layers }, (_, layer) => bindLayer(shape, {
      at: (name) => at(`layers.${layer}.${name}`), find: (name) => find(`layers.${layer}.${name}`),
    })),
    embedding: { weights: at('embedding.weights'), scales: find('embedding.scales'), rowBytes: embeddingRowBytes(shape, precision) },
    positions: at('positions'),
    finalNorm: { weight: at('final_norm.weight'), bias: at('final_norm.bias') },
  };
}

/** Addresses of a layer's sections. */
interface LayerSections {
  at(name: string): number;
  find(name: string): number | null;
}

function bindLayer(shape: EngineShape, { at, find }: LayerSections): PackedLayer {
  const neurons = (name: string): PackedNeurons => ({ bias: at(`${name}.bias`), threshold: at(`${name}.threshold`) });
  const written = (name: string): PackedNeurons | null => (find(`${name}.bias`) === null ? null : neurons(name));
  const linear = (name: MatrixName): PackedLinear => {
    const { inputs, outputs } = shape.matrices[name];
    return { weights: at(`${name}.weights`), scales: find(`${name}.scales`), bias: at(`${name}.bias`), inputs, outputs, isWrite: name === 'out' || name === 'fc2' };
  };
  return {
    attentionEntry: neurons('attention_entry'),
    qkv: linear('qkv'),
    qkvNeurons: neurons('qkv_neurons'),
    attention: { reversed: at('attention.reversed'), biasStride: shape.biasStride, thresholds: at('attention.threshold') },
    attentionOut: neurons('attention_out'),
    out: linear('out'),
    attentionWrite: written('attention_write'),
    feedForwardEntry: neurons('feed_forward_entry'),
    fc1: linear('fc1'),
    hiddenNeurons: neurons('hidden_neurons'),
    fc2: linear('fc2'),
    feedForwardWrite: written('feed_forward_write'),
  };
}

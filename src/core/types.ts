/** Words shared by two or more folders of the core; every other type lives in the file that produces it. */

/** Token ids of one sequence. */
export type TokenIds = Int32Array | readonly number[];

/** One step of a long operation, for progress bars and logs. */
export interface ProgressEvent {
  /** What is being done, e.g. `download model.safetensors` or `distil`. */
  readonly phase: string;
  readonly done: number;
  /** Null when the total is not known. */
  readonly total: number | null;
  readonly unit: 'bytes' | 'tokens' | 'steps' | 'tensors' | 'layers' | 'items';
  /** Values worth showing beside the bar, e.g. `{ loss: 3.61, rate: 0.09 }`. */
  readonly values?: Readonly<Record<string, number | string>>;
}

/** Receives progress and notices. The core never prints. */
export interface Reporter {
  readonly progress: (event: ProgressEvent) => void;
  readonly notice: (message: string) => void;
}

/** A reporter for callers that do not want to hear anything. */
export const silentReporter: Reporter = { progress: () => undefined, notice: () => undefined };

/** What every long-running core function takes beside its options. */
export interface RunContext {
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** Widths of a decoder-only model; the letters are those of the shape comments. */
export interface ModelShape {
  /** V */ readonly vocabSize: number;
  /** D */ readonly hiddenSize: number;
  readonly layers: number;
  /** H */ readonly heads: number;
  /** F */ readonly feedForwardSize: number;
  /** Longest sequence the model accepts, in tokens. */ readonly contextLength: number;
}

/** Where spikes are produced in a student block, in forward order. */
export const SPIKE_SITES = [
  'attention_entry', 'query', 'key', 'value', 'attention', 'attention_out', 'feed_forward_entry', 'hidden',
  'attention_write', 'feed_forward_write',
] as const;
/** `*_write` exist only with `residualWrite: spike`, where a sub-layer's output is itself a spike. */
export type SpikeSite = (typeof SPIKE_SITES)[number];

/** Counted events of one site of one layer over the tokens a model has processed. */
export interface SiteCounts {
  readonly layer: number;
  readonly site: SpikeSite;
  /** Spikes that occurred. */ readonly spikes: number;
  /** Neurons × time steps × tokens: how many could have (for `attention`: causal pairs × heads × time steps). */
  readonly slots: number;
  /** Spike-driven accumulates these spikes caused: spikes × fan-out of each, exactly. */
  readonly accumulates: number;
}

/** What a student really did while it processed `tokens` tokens. */
export interface OpCounts {
  readonly tokens: number;
  readonly sites: readonly SiteCounts[];
  /** Real-valued multiply-accumulates: the final norm's scale and the output head. */ readonly macs: number;
  /** Query·key pairs compared by AND + population count (causal pairs × heads × time steps). */ readonly popcounts: number;
}

/** Result of a full forward pass over one sequence. */
export interface SequenceLogits {
  /** (L, V) row-major. */ readonly logits: Float32Array;
  /** Null for a dense model. */ readonly counts: OpCounts | null;
}

/** Result of one incremental step. */
export interface StepLogits {
  /** (V): logits for the token that follows the last one appended. */ readonly logits: Float32Array;
  readonly counts: OpCounts | null;
}

/** Incremental decoding state; appending token by token gives the logits of a full forward. */
export interface DecodingSession {
  /** Tokens appended so far. */ readonly length: number;
  append(ids: TokenIds): Promise<StepLogits>;
  /** A copy that shares nothing that changes; for several samples of one prompt. */
  fork(): DecodingSession;
  dispose(): void;
}

/** How weights are kept: as they are, as 8-bit integers with a scale per output, or as 4-bit integers with a scale per group of inputs. */
export type WeightPrecision = 'float32' | 'int8' | 'int4';

/** What the engine really did since a model was opened: counted events, nothing estimated. */
export interface WorkDone {
  /** Tokens that passed the blocks. */ readonly tokens: number;
  /** Weight rows' elements added because a neuron fired, padding columns included. */ readonly additions: number;
  /** Query·key pairs compared by AND and population count. */ readonly popcounts: number;
  /** Membranes charged: neurons × time steps, attention pairs included. */ readonly membraneUpdates: number;
  /** Bytes of block weights read: rows that fired in at least one vector of a pass, once per pass. */ readonly weightBytes: number;
  /** Bytes of keys compared and values added. */ readonly cacheBytes: number;
  /** Bytes of head weights read. */ readonly headBytes: number;
}

/** What `eval` and `generate` need of a model, whichever code runs it. */
export interface LanguageModel {
  readonly kind: 'student' | 'teacher';
  readonly shape: ModelShape;
  /** T for a student, 1 for a dense model. */ readonly timeSteps: number;
  /** Name of what computes, e.g. `wasm` or `engine`; reported with every result. */ readonly backend: string;
  readonly precision: WeightPrecision;
  /** Threads that share the work. */ readonly threads: number;
  /** Null for a backend that does not count it. */ readonly work: WorkDone | null;
  /** Full forward of equally long sequences. @throws ShapeError on an id outside the vocabulary or a length over the context. */
  forward(sequences: readonly TokenIds[]): Promise<readonly SequenceLogits[]>;
  openSession(): DecodingSession;
  dispose(): void;
}

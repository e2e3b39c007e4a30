import type { BatchCursor } from '../corpus/batches.js';
import type { StoredTensor } from '../hub/safetensors-writer.js';
import { formatDigested, parseDigested } from './digested-json.js';

/** Version of the layout below; a reader refuses any other. */
export const CHECKPOINT_FORMAT = 1;
export const MODEL_FILE = 'model.safetensors';
export const OPTIMIZER_FILE = 'optimizer.safetensors';
export const STATE_FILE = 'state.json';

/** Where a run stands, beside its tensors. Everything random in training is drawn by the batches, so their cursor is the generator's state. */
export interface TrainingState {
  readonly step: number;
  /** Trained on so far. */ readonly tokens: number;
  /** Steps that changed the weights: n of Adam. */ readonly updates: number;
  readonly skippedSteps: number;
  readonly skippedInRow: number;
  readonly batches: BatchCursor;
  /** Lowest validation loss so far, nats per token. */ readonly best: { readonly step: number; readonly nll: number } | null;
  readonly validationsSinceBest: number;
  /** Of the last step; null for a dense model or before it. */ readonly firingRate: number | null;
  readonly elapsedMs: number;
}

/** A plain JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** All of a checkpoint. */
export interface CheckpointContents {
  readonly state: TrainingState;
  /** What the run is a run of: a checkpoint continues only a run of the same identity. */ readonly identity: JsonObject;
  readonly model: readonly StoredTensor[];
  readonly optimizer: readonly StoredTensor[];
}

/** A file as state.json records it. */
export interface FileRecord {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** What state.json holds beside its own digest. */
export interface StateDocument {
  readonly format: typeof CHECKPOINT_FORMAT;
  readonly state: TrainingState;
  readonly identity: JsonObject;
  readonly files: Readonly<Record<string, FileRecord>>;
}

/** `step-000300`: sorts by name as by step up to a million, and by number beyond. */
export function checkpointName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

/** The step of a folder name, or null when it is no checkpoint, e.g. one that was never finished. */
export function stepOfName(name: string): number | null {
  const digits = /^step-(\d{6,15})$/.exec(name)?.[1];
  return digits === undefined ? null : Number(digits);
}

/** The text of state.json. */
export function formatState(document: StateDocument): string {
  return formatDigested(document);
}

/** Reads state.json. @throws FormatError naming the file when it is damaged, of another version or not complete. */
export function parseState(text: string, file: string): StateDocument {
  // Unchanged since formatState wrote it, as the digest shows.
  return parseDigested(text, file, { what: 'checkpoint', format: CHECKPOINT_FORMAT }) as unknown as StateDocument;
}

import type { GenerationEvent } from '../core/generate/generate.js';
import { renderGeneration } from './render.js';

/** Where generated text goes. */
export interface TextStreamTarget {
  /** The text. */ readonly out: NodeJS.WritableStream;
  /** Everything about the text. */ readonly aside: NodeJS.WritableStream;
  /** True under `--json`, where the text is part of the document. */ readonly isSilent: boolean;
}

/** Writes text as it is made, one sample after the other, and what it cost beside it. */
export function createTextStream({ out, aside, isSilent }: TextStreamTarget): { readonly write: (event: GenerationEvent) => void } {
  return {
    write: (event) => {
      if (isSilent) return;
      if (event.type === 'text') {
        out.write(event.text);
        return;
      }
      out.write('\n');
      aside.write(`${renderGeneration(event.generation)}\n`);
    },
  };
}

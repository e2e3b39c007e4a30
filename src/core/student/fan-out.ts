import type { ModelShape, SpikeSite } from '../types.js';

/** Additions one spike causes: the outputs of its row, the `keys` a query meets, or the width of the value it selects. */
export function fanOut(site: SpikeSite, shape: Pick<ModelShape, 'hiddenSize' | 'feedForwardSize' | 'heads'>, keys: number): number {
  const { hiddenSize: D, feedForwardSize: F, heads } = shape;
  switch (site) {
    case 'attention_entry': return 3 * D;
    case 'query': return keys;
    case 'attention': return D / heads;
    case 'attention_out': return D;
    case 'feed_forward_entry': return F;
    case 'hidden': return D;
    case 'key': case 'value': case 'attention_write': case 'feed_forward_write': return 0;
  }
}

/** Query·key pairs per head and layer of `length` tokens after `offset` others: each meets itself and all before it. */
export function causalPairs({ length, offset }: { readonly length: number; readonly offset: number }): number {
  return length * offset + (length * (length + 1)) / 2;
}

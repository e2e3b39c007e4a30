/** A pair and how often it occurs. */
export interface PairCount {
  readonly key: number;
  readonly count: number;
}

/** Gives the most frequent pair first, of equally frequent ones the smallest key. */
export interface MaxHeap {
  push(pair: PairCount): void;
  /** Undefined when empty. */ pop(): PairCount | undefined;
}

/** A binary heap over an array. */
export function createMaxHeap(pairs: PairCount[]): MaxHeap {
  const heap = pairs.sort((a, b) => (isBefore(a, b) ? -1 : 1));
  return {
    push(pair) {
      heap.push(pair);
      siftUp(heap, heap.length - 1);
    },
    pop() {
      const top = heap[0];
      const last = heap.pop();
      if (last !== undefined && heap.length > 0) {
        heap[0] = last;
        siftDown(heap);
      }
      return top;
    },
  };
}

function isBefore(a: PairCount, b: PairCount): boolean {
  return a.count > b.count || (a.count === b.count && a.key < b.key);
}

function siftUp(heap: PairCount[], from: number): void {
  const pair = heap[from] as PairCount;
  let at = from;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    if (!isBefore(pair, heap[parent] as PairCount)) break;
    heap[at] = heap[parent] as PairCount;
    at = parent;
  }
  heap[at] = pair;
}

function siftDown(heap: PairCount[]): void {
  const pair = heap[0] as PairCount;
  let at = 0;
  for (;;) {
    let child = 2 * at + 1;
    if (child >= heap.length) break;
    if (child + 1 < heap.length && isBefore(heap[child + 1] as PairCount, heap[child] as PairCount)) child++;
    if (!isBefore(heap[child] as PairCount, pair)) break;
    heap[at] = heap[child] as PairCount;
    at = child;
  }
  heap[at] = pair;
}

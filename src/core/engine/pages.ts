import type { EngineMemory } from './memory.js';

/** Pages of the key-value cache, shared between sessions by counting who holds them. Nothing is copied when a cache grows. */
export interface PagePool {
  /** A page with undefined contents, held once. */
  acquire(): number;
  /** One more holder. */
  retain(page: number): void;
  /** One holder fewer; a page without any is reused. */
  release(page: number): void;
  /** A page with the contents of `page`, held once. */
  copy(page: number): number;
}

/** A pool of pages of `pageBytes`. */
export function createPagePool(memory: EngineMemory, pageBytes: number): PagePool {
  const free: number[] = [];
  const holders = new Map<number, number>();
  const acquire = (): number => {
    const page = free.pop() ?? memory.allocate(pageBytes);
    holders.set(page, 1);
    return page;
  };
  const held = (page: number): number => {
    const count = holders.get(page);
    if (count === undefined) throw new Error(`page ${page} is not in use`);
    return count;
  };
  return {
    acquire,
    retain: (page) => { holders.set(page, held(page) + 1); },
    release: (page) => {
      const left = held(page) - 1;
      if (left > 0) {
        holders.set(page, left);
        return;
      }
      holders.delete(page);
      free.push(page);
    },
    copy: (page) => {
      held(page);
      const copied = acquire();
      memory.bytes(copied, pageBytes).set(memory.bytes(page, pageBytes));
      return copied;
    },
  };
}

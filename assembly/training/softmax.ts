import { largestOf, scaleFloats, shiftedExp } from './elementwise';
import { clearFloats } from './simd';

/** y (maps, n, n): row i of every map is softmax(x/divisor) over its first i + 1 entries, 0 beyond them. */
export function causalSoftmax(x: usize, y: usize, maps: i32, n: i32, divisor: f32): void {
  const row = (<usize>n) << 2;
  for (let map = 0; map < maps; map++) {
    for (let i = 0; i < n; i++) {
      const keys = i + 1;
      const total = shiftedExp(x, y, keys, largestOf(x, keys), divisor);
      scaleFloats(y, y, keys, <f32>(1 / total));
      clearFloats(y + ((<usize>keys) << 2), n - keys);
      x += row;
      y += row;
    }
  }
}

import { loadFloats, storeFloats, sumLanes, firstLanes } from './simd';

/** y = (x − mean)·rstd·weight + bias per row of x (rows, width), rstd = 1/√(biased variance + epsilon); without weight and bias where these are 0. */
export function layerNorm(
  x: usize, weight: usize, bias: usize, y: usize, mean: usize, rstd: usize, rows: i32, width: i32, epsilon: f32,
): void {
  const n = <f32>width;
  for (let r = 0; r < rows; r++) {
    let sum = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) sum = f32x4.add(sum, loadFloats(x + ((<usize>c) << 2), width - c));
    const m = sumLanes(sum) / n;
    const means = f32x4.splat(m);
    let squares = f32x4.splat(0);
    for (let c = 0; c < width; c += 4) {
      const d = v128.and(f32x4.sub(loadFloats(x + ((<usize>c) << 2), width - c), means), firstLanes(width - c));
      squares = f32x4.add(squares, f32x4.mul(d, d));
    }
    const scale: f32 = 1 / sqrt<f32>(sumLanes(squares) / n + epsilon);
    const scales = f32x4.splat(scale);
    for (let c = 0; c < width; c += 4) {
      const at = (<usize>c) << 2;
      const lanes = width - c;
      let value = f32x4.mul(f32x4.sub(loadFloats(x + at, lanes), means), scales);
      if (weight != 0) value = f32x4.add(f32x4.mul(value, loadFloats(weight + at, lanes)), loadFloats(bias + at, lanes));
      storeFloats(y + at, value, lanes);
    }
    store<f32>(mean + ((<usize>r) << 2), m);
    store<f32>(rstd + ((<usize>r) << 2), scale);
    x += (<usize>width) << 2;
    y += (<usize>width) << 2;
  }
}

/** dx = rstd·(g − mean(g) − x̂·mean(g·x̂)) with g = dy·weight; dWeight = Σ dy·x̂, dBias = Σ dy over the rows. Where weight is 0, g = dy, and dx is all. */
export function layerNormGrad(
  dy: usize, x: usize, weight: usize, mean: usize, rstd: usize, dx: usize, dWeight: usize, dBias: usize, rows: i32, width: i32,
): void {
  if (weight == 0) return gradOfRows(dy, x, weight, mean, rstd, dx, dWeight, dBias, rows, width, false);
  memory.fill(dWeight, 0, (<usize>width) << 2);
  memory.fill(dBias, 0, (<usize>width) << 2);
  gradOfRows(dy, x, weight, mean, rstd, dx, dWeight, dBias, rows, width, true);
}

// @ts-ignore: decorator
@inline
function gradOfRows(
  dy: usize, x: usize, weight: usize, mean: usize, rstd: usize, dx: usize, dWeight: usize, dBias: usize, rows: i32, width: i32, hasWeight: bool,
): void {
  const n = <f32>width;
  for (let r = 0; r < rows; r++) {
    const means = f32x4.splat(load<f32>(mean + ((<usize>r) << 2)));
    const scales = f32x4.splat(load<f32>(rstd + ((<usize>r) << 2)));
    let sum = f32x4.splat(0), product = sum;
    for (let c = 0; c < width; c += 4) {
      const at = (<usize>c) << 2;
      const lanes = width - c;
      const d = loadFloats(dy + at, lanes);
      const g = hasWeight ? f32x4.mul(d, loadFloats(weight + at, lanes)) : d;
      const normalised = f32x4.mul(f32x4.sub(loadFloats(x + at, lanes), means), scales);
      sum = f32x4.add(sum, g);
      product = f32x4.add(product, f32x4.mul(g, normalised));
      if (!hasWeight) continue;
      storeFloats(dWeight + at, f32x4.add(loadFloats(dWeight + at, lanes), f32x4.mul(d, normalised)), lanes);
      storeFloats(dBias + at, f32x4.add(loadFloats(dBias + at, lanes), d), lanes);
    }
    const meanG = f32x4.splat(sumLanes(sum) / n);
    const meanProduct = f32x4.splat(sumLanes(product) / n);
    for (let c = 0; c < width; c += 4) {
      const at = (<usize>c) << 2;
      const lanes = width - c;
      const d = loadFloats(dy + at, lanes);
      const g = hasWeight ? f32x4.mul(d, loadFloats(weight + at, lanes)) : d;
      const normalised = f32x4.mul(f32x4.sub(loadFloats(x + at, lanes), means), scales);
      storeFloats(dx + at, f32x4.mul(scales, f32x4.sub(f32x4.sub(g, meanG), f32x4.mul(normalised, meanProduct))), lanes);
    }
    dy += (<usize>width) << 2;
    x += (<usize>width) << 2;
    dx += (<usize>width) << 2;
  }
}

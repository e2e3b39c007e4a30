import { largestOf, scaleFloats, shiftedExp, squares } from './elementwise';
import { logarithm } from './math';
import { firstLanes, highDoubles, loadFloats, lowDoubles, storeFloats, sumDoubles } from './simd';

/** loss (rows) = −log softmax(logits)[label] and gradient (rows, n) = softmax − onehot; both 0 where the label is negative. */
export function crossEntropy(logits: usize, labels: usize, loss: usize, gradient: usize, rows: i32, n: i32): void {
  const rowBytes = (<usize>n) << 2;
  for (let r = 0; r < rows; r++) {
    const label = load<i32>(labels + ((<usize>r) << 2));
    let value: f64 = 0;
    if (label < 0) {
      memory.fill(gradient, 0, rowBytes);
    } else if (label >= n) {
      value = NaN;
      memory.fill(gradient, 0xff, rowBytes);
    } else {
      const largest = largestOf(logits, n);
      const total = shiftedExp(logits, gradient, n, largest, 1);
      scaleFloats(gradient, gradient, n, <f32>(1 / total));
      const at = (<usize>label) << 2;
      value = logarithm(total) - (<f64>load<f32>(logits + at) - <f64>largest);
      store<f32>(gradient + at, load<f32>(gradient + at) - 1);
    }
    store<f32>(loss + ((<usize>r) << 2), <f32>value);
    logits += rowBytes;
    gradient += rowBytes;
  }
}

/**
 * Cross-entropy `hard` (rows) as above, divergence `soft` (rows) = Σ p_T·(log p_T − log p_S) with p = softmax(logits/temperature), and, written over the logits, the gradient of
 * Σ softSlope·soft + hardSlope·hard, the latter slope being read from memory. A loss whose target (`labels` or `teacher`) is 0 is 0.
 * `scratch` holds 3·n floats.
 */
export function headLosses(
  logits: usize, teacher: usize, labels: usize, soft: usize, hard: usize, rows: i32, n: i32, temperature: f32, softSlope: f32, hardSlopeAt: usize, scratch: usize,
): void {
  const hardSlope = load<f32>(hardSlopeAt);
  const rowBytes = (<usize>n) << 2;
  const probabilities = scratch, student = scratch + rowBytes, target = student + rowBytes;
  for (let r = 0; r < rows; r++) {
    const at = (<usize>r) << 2;
    const label = labels == 0 ? -1 : load<i32>(labels + at);
    const largest = largestOf(logits, n);
    const totalS = teacher == 0 ? 0 : shiftedExp(logits, student, n, largest, temperature);
    let factor: f32 = 0;
    let value: f64 = 0;
    if (label >= n) {
      value = NaN;
      factor = NaN;
    } else if (label >= 0) {
      // At the usual temperature e^z is the square of e^(z/2), which is there already.
      const total = teacher != 0 && temperature == 2 ? squares(student, probabilities, n) : shiftedExp(logits, probabilities, n, largest, 1);
      factor = <f32>(<f64>hardSlope / total);
      value = logarithm(total) - (<f64>load<f32>(logits + ((<usize>label) << 2)) - <f64>largest);
    }
    store<f32>(hard + at, <f32>value);
    if (teacher == 0) {
      store<f32>(soft + at, 0);
      scaleInto(label < 0 ? logits : probabilities, logits, n, factor);
    } else {
      const largestT = largestOf(teacher, n);
      const totalT = shiftedExp(teacher, target, n, largestT, temperature);
      const mean = combine(
        logits, teacher, label < 0 ? student : probabilities, student, target, n, temperature, largestT - largest,
        <f32>(1 / totalS), <f32>(1 / totalT), softSlope, factor,
      );
      store<f32>(soft + at, <f32>(mean + logarithm(totalS) - logarithm(totalT)));
      teacher += rowBytes;
    }
    if (label >= 0 && label < n) {
      const own = logits + ((<usize>label) << 2);
      store<f32>(own, load<f32>(own) - hardSlope);
    }
    logits += rowBytes;
  }
}

/** y = factor·x, zeros where the factor is 0, whatever x is. */
function scaleInto(x: usize, y: usize, n: i32, factor: f32): void {
  if (factor == 0) {
    memory.fill(y, 0, (<usize>n) << 2);
    return;
  }
  scaleFloats(x, y, n, factor);
}

/**
 * Writes slope·(p_S − p_T)/τ + factor·e over the logits, with p_S and p_T from the exponentials in `student` and `target`; returns
 * Σ p_T·(z_T − z_S − shift)/τ.
 */
function combine(
  logits: usize, teacher: usize, e: usize, student: usize, target: usize, n: i32, temperature: f32, shift: f32,
  factorS: f32, factorT: f32, slope: f32, factor: f32,
): f64 {
  const scales = f32x4.splat(1 / temperature), shifts = f32x4.splat(shift), slopes = f32x4.splat(slope / temperature), factors = f32x4.splat(factor);
  let low = f64x2.splat(0), high = low;
  for (let i = 0; i < n; i += 4) {
    const at = (<usize>i) << 2;
    const lanes = n - i;
    const pT = v128.and(f32x4.mul(loadFloats(target + at, lanes), f32x4.splat(factorT)), firstLanes(lanes));
    const pS = f32x4.mul(loadFloats(student + at, lanes), f32x4.splat(factorS));
    const difference = f32x4.sub(loadFloats(teacher + at, lanes), loadFloats(logits + at, lanes));
    const z = f32x4.mul(f32x4.sub(difference, shifts), scales);
    low = f64x2.add(low, f64x2.mul(lowDoubles(pT), lowDoubles(z)));
    high = f64x2.add(high, f64x2.mul(highDoubles(pT), highDoubles(z)));
    const fromHard = f32x4.mul(loadFloats(e + at, lanes), factors);
    storeFloats(logits + at, f32x4.add(f32x4.mul(f32x4.sub(pS, pT), slopes), fromHard), lanes);
  }
  return sumDoubles(f64x2.add(low, high));
}

import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, sizeOf } from '../kernel-tensors.js';
import { squareRuns } from '../square-runs.js';
import { runCut } from './cut.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { GROUP, MAIN, overGroup } from './sums.js';

/** Below this a run is scaled as if its largest number were this, so that 1/scale stays finite. */
const SMALLEST_SCALE = '1e-30';

const SQUARE_RUNS: GpuKernel = {
  name: 'BispikSquareRuns',
  tensors: [['x', 'read', 'f32'], ['parts', 'read_write', 'f32']],
  uniforms: [['count', 'u32'], ['each', 'u32'], ['runs', 'u32'], ['place', 'u32']],
  code: `${overGroup('largest', 'f32', 'max(a, b)')}
${overGroup('total', 'f32')}
${MAIN}
  if (group >= uniforms.runs) { return; }
  let start = group * uniforms.each;
  let end = min(uniforms.count, start + uniforms.each);
  var most = ${SMALLEST_SCALE};
  for (var i = start + local; i < end; i += ${GROUP}u) { most = max(most, abs(x[i])); }
  let scale = largest(most, local);
  var sum = 0.0;
  for (var i = start + local; i < end; i += ${GROUP}u) {
    let scaled = x[i] / scale;
    sum += scaled * scaled;
  }
  sum = total(sum, local);
  if (local == 0u) {
    parts[2u * (uniforms.place + group)] = scale;
    parts[2u * (uniforms.place + group) + 1u] = sum;
  }
}`,
};

/**
 * `BispikSquareRuns`: of any number of tensors, one behind the other, (runs, 2): of every run (see `squareRuns`) the largest magnitude a and Σ(x/a)², which no float32
 * makes overflow; their sum of squares is Σ a²·Σ(x/a)², in float64. One launch a tensor. Of a run with a NaN or an infinity one of the two is not finite.
 */
export function squareRunKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [{ kernelName: 'BispikSquareRuns', backendName: 'webgpu', kernelFunc: ({ inputs }) => squaresOf(gpu, Object.values(inputs) as TensorInfo[]) }];
}

function squaresOf(gpu: GpuDispatcher, tensors: readonly TensorInfo[]): TensorInfo {
  const cuts = tensors.map(({ shape }) => squareRuns(sizeOf(shape)));
  const parts = gpu.makeOutput([cuts.reduce((sum, { runs }) => sum + runs, 0), 2]);
  let place = 0;
  tensors.forEach((x, i) => {
    expectShape(x, x.shape, `x${i}`);
    const { each, runs } = cuts[i] as (typeof cuts)[number];
    const begin = place;
    runCut(gpu, SQUARE_RUNS, {
      tensors: [x, parts], units: runs, layouts: [[1, each], null],
      plan: (count, first) => ({ uniforms: [Math.min(sizeOf(x.shape) - first * each, count * each), each, count, begin + first], workgroups: spreadGroups(count) }),
    });
    place += runs;
  });
  return parts;
}

import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core';

import { expectShape, extents, inputOf } from '../kernel-tensors.js';
import type { Span } from './cut.js';
import { runCut, runSpans, spansOf } from './cut.js';
import { packedExtents, packedWords } from '../packed-spikes.js';
import type { GpuDispatcher, GpuKernel } from './dispatch.js';
import { spreadGroups } from './dispatch.js';
import { fillRows } from './matmul.js';
import { halfSpikeProducts } from './spike-half.js';
import type { SpikeSizes } from './spike-tiles.js';
import { ALL_TERMS, planSpikeTiles, spikeTileKernel, spikeTileRun, termsPerPart } from './spike-tiles.js';
import { GROUP, MAIN, sumOverRows } from './sums.js';

/**
 * `BispikPackSpikes` and the products with the bits it returns. `BispikSpikeMatMul` and `BispikSpikeMatMulGradW` take these and the attribute `inputs`.
 */
export function spikeMatMulKernels(gpu: GpuDispatcher): KernelConfig[] {
  return [
    { kernelName: 'BispikPackSpikes', backendName: 'webgpu', kernelFunc: ({ inputs }) => packSpikes(gpu, inputOf(inputs, 's')) },
    { kernelName: 'BispikSpikeMatMul', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => forward(gpu, inputs, attrs) },
    { kernelName: 'BispikSpikeMatMulGradW', backendName: 'webgpu', kernelFunc: ({ inputs, attrs }) => backward(gpu, inputs, attrs) },
  ];
}

/** Rows of whole words: every invocation reads four spikes, eight of them make a word. */
const PACK_WORDS: GpuKernel = {
  name: 'BispikPackSpikes', tensors: [['s', 'read', 'vec4f'], ['bits', 'read_write', 'u32']], uniforms: [['count', 'u32']],
  code: `var<workgroup> fours: array<u32, ${GROUP}>;
${MAIN}
  let i = group * ${GROUP}u + local;
  if (i < 8u * uniforms.count) { fours[local] = dot(select(vec4u(0), vec4u(1, 2, 4, 8), s[i] != vec4f(0)), vec4u(1)) << (4u * (local % 8u)); }
  workgroupBarrier();
  let word = group * ${GROUP / 8}u + local;
  if (local >= ${GROUP / 8}u || word >= uniforms.count) { return; }
  var all = 0u;
  for (var four = 0u; four < 8u; four++) { all |= fours[8u * local + four]; }
  bits[word] = all;
}`,
};

/** Rows of any length: every invocation makes a word. */
const PACK_ROWS: GpuKernel = {
  name: 'BispikPackSpikeRows', tensors: [['s', 'read', 'f32'], ['bits', 'read_write', 'u32']], uniforms: [['count', 'u32'], ['inputs', 'u32'], ['words', 'u32']],
  code: `${MAIN}
  let i = group * ${GROUP}u + local;
  if (i >= uniforms.count) { return; }
  let first = i % uniforms.words * 32u;
  let start = i / uniforms.words * uniforms.inputs + first;
  var all = 0u;
  for (var c = 0u; c < min(32u, uniforms.inputs - first); c++) { all |= select(0u, 1u << c, s[start + c] != 0.0); }
  bits[i] = all;
}`,
};

function packSpikes(gpu: GpuDispatcher, s: TensorInfo): TensorInfo {
  const [rows = 0, inputs = 0] = extents(s, 2, 's');
  const words = packedWords(inputs);
  const bits = gpu.makeOutput([rows, words], 'int32');
  const isWhole = inputs % 32 === 0;
  runCut(gpu, isWhole ? PACK_WORDS : PACK_ROWS, {
    tensors: [s, bits], units: rows, layouts: [[1, inputs], [1, words]],
    plan: (own) => ({ uniforms: isWhole ? [own * words] : [own * words, inputs, words], workgroups: spreadGroups(Math.ceil((isWhole ? 8 : 1) * own * words / GROUP)) }),
  });
  return bits;
}

/** y = s·w + b; the bias comes first. */
function forward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo {
  const [s, w, b] = [inputOf(inputs, 's'), inputOf(inputs, 'w'), inputOf(inputs, 'b')];
  const width = Number(attrs?.['inputs']);
  const [rows, words] = packedExtents(s, width);
  const outputs = extents(w, 2, 'w')[1] ?? 0;
  expectShape(w, [width, outputs], 'w');
  expectShape(b, [outputs], 'b');
  const { side } = planSpikeTiles({ p: rows, q: outputs, k: width });
  const y = gpu.makeOutput([rows, outputs]);
  const [half, sizeOf] = [halfSpikeProducts(gpu, w), (count: number): SpikeSizes => ({ p: count, q: outputs, k: width, words })];
  if (half !== null) {
    fillRows(gpu, y, b);
    runCut(gpu, half.kernel('terms', side), {
      tensors: [s, w, y, half.scales], units: rows, layouts: [[1, words], null, [1, outputs], null],
      plan: (count) => half.plan(sizeOf(count), { side, parts: 1 }, { firstPart: 0, isResumed: true }),
    });
    return y;
  }
  runCut(gpu, spikeTileKernel('BispikSpikeMatMul', { side, direction: 'terms', hasStart: true }), {
    tensors: [s, w, b, y], units: rows, layouts: [[1, words], null, null, [1, outputs]],
    plan: (count) => spikeTileRun(sizeOf(count), { side, parts: 1 }, ALL_TERMS),
  });
  return y;
}

/** A stretch of rows cut where a part of the sum ends. */
function withinParts([first, end]: Span, perPart: number): Span[] {
  const next = Math.min(end, (Math.floor(first / perPart) + 1) * perPart);
  return next === end ? [[first, end]] : [[first, next], ...withinParts([next, end], perPart)];
}

/** dW = sᵀ·dy, db = Σ dy. */
function backward(gpu: GpuDispatcher, inputs: NamedTensorInfoMap, attrs: NamedAttrMap | undefined): TensorInfo[] {
  const [s, dy] = [inputOf(inputs, 's'), inputOf(inputs, 'dy')];
  const width = Number(attrs?.['inputs']);
  const [rows, words] = packedExtents(s, width);
  const outputs = extents(dy, 2, 'dy')[1] ?? 0;
  expectShape(dy, [rows, outputs], 'dy');
  const plan = planSpikeTiles({ p: width, q: outputs, k: rows });
  const perPart = termsPerPart(rows, plan.parts);
  const sums = gpu.makeOutput(plan.parts === 1 ? [width, outputs] : [plan.parts, width * outputs]);
  const name = 'BispikSpikeMatMulGradW';
  const spans = spansOf(gpu, { name, units: rows, cuts: [{ tensor: s, layout: [1, words] }, { tensor: dy, layout: [1, outputs] }] });
  const half = halfSpikeProducts(gpu, dy);
  runSpans(gpu, half?.kernel('results', plan.side) ?? spikeTileKernel(name, { side: plan.side, direction: 'results', hasStart: false }), {
    tensors: [s, dy, sums, ...(half === null ? [] : [half.scales])], units: rows, layouts: [[1, words], [1, outputs], null, null], spans: spans.length === 1 ? spans : spans.flatMap((span) => withinParts(span, perPart)),
    plan: (count, first) => {
      const [own, terms] = count === rows ? [plan, ALL_TERMS] : [{ ...plan, parts: 1 }, { firstPart: Math.floor(first / perPart), isResumed: first % perPart !== 0 }];
      return (half?.plan ?? spikeTileRun)({ p: width, q: outputs, k: count, words }, own, terms);
    },
  });
  const db = sumOverRows(gpu, dy, { outer: 1, rows, width: outputs, shape: [outputs] });
  if (plan.parts === 1) return [sums, db];
  const dw = sumOverRows(gpu, sums, { outer: 1, rows: plan.parts, width: width * outputs, shape: [width, outputs] });
  gpu.release(sums);
  return [dw, db];
}

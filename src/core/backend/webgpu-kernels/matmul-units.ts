import type { GpuKernel } from './dispatch.js';
import type { ProductVariant } from './matmul-tile.js';
import { PRODUCT_UNIFORM_TYPES, fourBits, placeInResult, productTensors, scaleCode } from './matmul-tile.js';

/**
 * A product that the device's matrix units compute (Dawn's experimental subgroup matrices: tensor cores, on Vulkan VK_KHR_cooperative_matrix):
 * (M, K)·(K, N) of float16 inputs, summed in float32 by one subgroup.
 */
export interface MatrixUnit {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  /** Invocations of a subgroup. */ readonly lanes: number;
}

/** What an adapter says about itself that decides whether its matrix units can be used. */
export interface UnitOffer {
  readonly features: ReadonlySet<string>;
  readonly subgroupSizes: readonly [least: number, most: number];
  readonly configs: ReadonlyArray<{ readonly componentType: string; readonly resultComponentType: string; readonly M: number; readonly N: number; readonly K: number }>;
  readonly limits: { readonly maxComputeWorkgroupStorageSize: number; readonly maxComputeInvocationsPerWorkgroup: number };
}

/** Dawn's feature, and the WGSL extension. */
export const UNIT_FEATURE = 'chromium-experimental-subgroup-matrix';
const UNIT_EXTENSION = 'chromium_experimental_subgroup_matrix';

/** How a workgroup of down × across subgroups shares its tile out: each computes rows × columns results, step terms at a time. */
export interface UnitTile { readonly down: number; readonly across: number; readonly rows: number; readonly columns: number; readonly step: number }

/** 128 × 128 results per workgroup, like `tileKernel`'s large tiles. */
const LARGE: UnitTile = { down: 2, across: 4, rows: 64, columns: 32, step: 32 };
const SUBGROUPS = LARGE.down * LARGE.across;

/** Distance of two stored rows of a tile, in vectors of 4: two more than needed, for other memory banks. */
const pitchOf = (length: number): number => length / 4 + 2;
/** Vectors of 4 that an operand's tile takes, whichever way it lies. */
const vectorsOf = (outer: number, step: number): number => Math.max(outer * pitchOf(step), step * pitchOf(outer));

/** The largest unit that fits our tiles, or why there is none. */
export function chooseUnit({ features, subgroupSizes: [least, most], configs, limits }: UnitOffer): MatrixUnit | string {
  if (!features.has(UNIT_FEATURE)) return `not offered by the adapter (no ${UNIT_FEATURE})`;
  if (least !== most) return `the adapter's subgroups have ${least} to ${most} invocations; the kernel needs one size`;
  const fitting = configs.filter(({ componentType, resultComponentType, M, N, K }) =>
    componentType === 'f16' && resultComponentType === 'f32' && LARGE.rows % M === 0 && LARGE.columns % N === 0 && LARGE.step % K === 0 && M % 4 === 0 && N % 4 === 0 && K % 4 === 0);
  const [largest] = [...fitting].sort((x, y) => y.M * y.N * y.K - x.M * x.N * x.K);
  if (largest === undefined) return 'the adapter has none with float16 inputs and float32 sums whose sides divide 64 × 32 × 32';
  const unit = { M: largest.M, N: largest.N, K: largest.K, lanes: most };
  if (SUBGROUPS * most > limits.maxComputeInvocationsPerWorkgroup) return `${SUBGROUPS * most} invocations are more than the adapter's ${limits.maxComputeInvocationsPerWorkgroup}`;
  const bytes = 2 * 8 * vectorsOf(LARGE.down * LARGE.rows, LARGE.step) + 4 * SUBGROUPS * unit.M * unit.N;
  return bytes > limits.maxComputeWorkgroupStorageSize ? `${bytes} bytes of workgroup memory are more than the adapter's ${limits.maxComputeWorkgroupStorageSize}` : unit;
}

/**
 * out = A·B with float16 inputs on matrix units: as `tileKernel` of side 128 (or another tile, in tests), but a subgroup's results are held in units, and inputs lie in
 * workgroup memory the way they lie in theirs, row by row or column by column. Results leave through workgroup memory, for matrices of any size.
 */
export function unitKernel(variant: ProductVariant, unit: MatrixUnit, tile = LARGE): GpuKernel {
  const { M, N, lanes } = unit;
  const { down, across, rows, columns, step } = tile;
  const invocations = down * across * lanes;
  const a = operand({ name: 'a', isPacked: variant.packedA, isOuterContiguous: variant.transposeA, first: 'row_0', side: down * rows, step, invocations });
  const b = operand({ name: 'b', isPacked: false, isOuterContiguous: !variant.transposeB, first: 'column_0', side: across * columns, step, invocations });
  return {
    name: `MatMulUnits${variant.packedA ? 'Bits' : ''}${variant.transposeA ? 'T' : 'N'}${variant.transposeB ? 'T' : 'N'}`,
    tensors: productTensors(variant), uniforms: PRODUCT_UNIFORM_TYPES, enable: [UNIT_EXTENSION, 'f16', 'subgroups'],
    code: `
var<workgroup> tile_a: array<vec4<f16>, ${vectorsOf(down * rows, step)}>;
var<workgroup> tile_b: array<vec4<f16>, ${vectorsOf(across * columns, step)}>;
var<workgroup> results: array<f32, ${down * across * M * N}>;
${a.declaration}
${b.declaration}
@compute @workgroup_size(${invocations})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32, @builtin(subgroup_id) subgroup: u32) {${placeInResult(down * rows, across * columns)}${scaleCode(variant)}
  let own_row = (subgroup / ${across}u) * ${rows}u;
  let own_column = (subgroup % ${across}u) * ${columns}u;
${sums(unit, tile, (i, j) => `  var sum_${i}_${j} = subgroup_matrix_result<f32, ${N}, ${M}>();`)}
${a.read('start', true)}
${b.read('start', true)}
  for (var k = start; k < end; k += ${step}u) {
${a.store}
${b.store}
    workgroupBarrier();
    if (k + ${step}u < end) {
${a.read(`k + ${step}u`, false)}
${b.read(`k + ${step}u`, false)}
    }
${multiplySteps(unit, tile, variant)}
    workgroupBarrier();
  }
${sums(unit, tile, (i, j) => storeUnit(unit, tile, { sum: `sum_${i}_${j}`, row: i * M, column: j * N }))}
}`,
  };
}

interface OperandCode {
  /** A function that reads four elements along the operand's contiguous side. */ readonly declaration: string;
  /** Reads the next tile into variables. */ read(k: string, isFirst: boolean): string;
  /** Rounds it into workgroup memory. */ readonly store: string;
}
interface OperandSpec { readonly name: 'a' | 'b'; readonly isPacked: boolean; readonly isOuterContiguous: boolean; readonly first: string; /** Rows of A or columns of B. */ readonly side: number; readonly step: number; readonly invocations: number }

function operand({ name, isPacked, isOuterContiguous, first, side, step, invocations }: OperandSpec): OperandCode {
  const lead = `uniforms.lead${name.toUpperCase()}`;
  const perRow = isOuterContiguous ? side / 4 : step / 4;
  const pitch = pitchOf(isOuterContiguous ? side : step);
  const vectors = range(side * step / 4 / invocations);
  const cell = (index: number): readonly [row: string, column: string] => [`(local + ${index * invocations}u) / ${perRow}u`, `(local + ${index * invocations}u) % ${perRow}u`];
  const [slow, fast] = isOuterContiguous ? ['k', 'outer'] : ['outer', 'k'];
  const four = isPacked ? fourBits(slow, fast) : `vec4f(${[0, 1, 2, 3].map((i) => `${name}[base + ${slow} * ${lead} + ${fast} + ${i}u]`).join(', ')})`;
  const declaration = isOuterContiguous
    ? `fn read_${name}(base: u32, outer: u32, k: u32, end: u32) -> vec4f {
  if (k >= end) { return vec4f(); }
  return ${four};
}`
    : `fn read_${name}(base: u32, outer: u32, k: u32, end: u32) -> vec4f {
  if (k + 4u <= end) { return ${four}; }
  return select(vec4f(), ${four}, vec4u(k, k + 1u, k + 2u, k + 3u) < vec4u(end));
}`;
  return {
    declaration,
    read: (k, isFirst) => vectors.map((index) => {
      const [row, column] = cell(index);
      const [outer, inner] = isOuterContiguous ? [`4u * (${column})`, row] : [row, `4u * (${column})`];
      return `  ${isFirst ? 'var ' : ''}next_${name}${index} = read_${name}(base_${name}, ${first} + ${outer}, ${k} + ${inner}, end);`;
    }).join('\n'),
    store: vectors.map((index) => {
      const [row, column] = cell(index);
      return `    tile_${name}[(${row}) * ${pitch}u + ${column}] = vec4<f16>(next_${name}${index} * scale_${name});`;
    }).join('\n'),
  };
}

function sums({ M, N }: MatrixUnit, { rows, columns }: UnitTile, text: (i: number, j: number) => string): string {
  return range(rows / M).flatMap((i) => range(columns / N).map((j) => text(i, j))).join('\n');
}

/** Loads of the tiles' units and the multiplications of one step. Offsets and strides count elements of the tile's array: vectors of 4. */
function multiplySteps(unit: MatrixUnit, tile: UnitTile, { transposeA, transposeB }: ProductVariant): string {
  const { M, N, K } = unit;
  const load = (name: 'a' | 'b', place: { readonly type: string; readonly outer: string; readonly k: number; readonly isOuterContiguous: boolean; readonly isRows: boolean }): string => {
    const { type, outer, k, isOuterContiguous, isRows } = place;
    const pitch = pitchOf(isOuterContiguous ? (isRows ? tile.down * tile.rows : tile.across * tile.columns) : tile.step);
    const offset = isOuterContiguous ? `${k * pitch}u + (${outer}) / 4u` : `(${outer}) * ${pitch}u + ${k / 4}u`;
    // The outer side of the left matrix is its rows, of the right one its columns.
    return `subgroupMatrixLoad<${type}, ${isOuterContiguous === isRows ? 'col_major' : 'row_major'}>(&tile_${name}, ${offset}, ${pitch}u)`;
  };
  return range(tile.step / K).map((step) => `    {
${range(tile.rows / M).map((i) => `      let left_${i} = ${load('a', { type: `subgroup_matrix_left<f16, ${K}, ${M}>`, outer: `own_row + ${i * M}u`, k: step * K, isOuterContiguous: transposeA, isRows: true })};`).join('\n')}
${range(tile.columns / N).map((j) => `      let right_${j} = ${load('b', { type: `subgroup_matrix_right<f16, ${N}, ${K}>`, outer: `own_column + ${j * N}u`, k: step * K, isOuterContiguous: !transposeB, isRows: false })};`).join('\n')}
${sums(unit, tile, (i, j) => `      sum_${i}_${j} = subgroupMatrixMultiplyAccumulate(left_${i}, right_${j}, sum_${i}_${j});`)}
    }`).join('\n');
}

/** Every subgroup writes one unit of results to workgroup memory, and all invocations bring them to their places. */
function storeUnit({ M, N, lanes }: MatrixUnit, { down, across, rows, columns }: UnitTile, { sum, row, column }: { readonly sum: string; readonly row: number; readonly column: number }): string {
  return `  subgroupMatrixStore<row_major>(&results, subgroup * ${M * N}u, ${sum}, ${N}u);
  workgroupBarrier();
  for (var e = local; e < ${down * across * M * N}u; e += ${down * across * lanes}u) {
    let part = e / ${M * N}u;
    let row = row_0 + (part / ${across}u) * ${rows}u + ${row}u + (e / ${N}u) % ${M}u;
    let column = column_0 + (part % ${across}u) * ${columns}u + ${column}u + e % ${N}u;
    if (row < uniforms.rows && column < uniforms.columns) {
      let p = base_out + row * uniforms.leadOut + column;
      let value = results[e] / scale_a / scale_b;
      if (uniforms.accumulate == 1u) { out[p] += value; } else { out[p] = value; }
    }
  }
  workgroupBarrier();`;
}

const range = (length: number): number[] => Array.from({ length }, (_, i) => i);

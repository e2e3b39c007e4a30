import type { GpuKernel, UniformType } from './dispatch.js';

/** What decides the text of a product kernel. */
export interface ProductVariant {
  readonly transposeA: boolean;
  readonly transposeB: boolean;
  /** Inputs are rounded to float16, after multiplication with their scale; sums are float32. */ readonly half: boolean;
  /** A is 0s and 1s, 32 in a word, along the rows as it is stored; `leadA` counts words, and A has no scale. */ readonly packedA: boolean;
}

/** Rows and columns of the result that one workgroup computes. */
export type TileSide = 32 | 128;

/**
 * Numbers of one run, which every product kernel takes in this order. A run computes rows × columns of each of `batches` results over `inner`
 * terms, split into parts of `innerPerPart` whose sums lie one after the other; `lead…` is the distance of two stored rows, `at…` of the first
 * element from the start of the binding, `stride…` of two batches; `slotA`, `slotB` say where the scales of float16 inputs are.
 */
export const PRODUCT_UNIFORMS = [
  'rows', 'columns', 'inner', 'innerPerPart', 'batches', 'leadA', 'leadB', 'leadOut', 'atA', 'atB', 'atOut', 'strideA', 'strideB', 'strideOut',
  /** 1: add to what is there */ 'accumulate', /** 1: neighbouring workgroups take neighbouring columns */ 'columnsFirst', 'slotA', 'slotB',
] as const;
export type ProductNumbers = Readonly<Record<(typeof PRODUCT_UNIFORMS)[number], number>>;

export const PRODUCT_UNIFORM_TYPES = PRODUCT_UNIFORMS.map((name): readonly [string, UniformType] => [name, 'u32']);

/** Bindings of every product kernel. */
export function productTensors({ half, packedA }: ProductVariant): GpuKernel['tensors'] {
  return [['a', 'read', packedA ? 'u32' : 'f32'], ['b', 'read', 'f32'], ['out', 'read_write', 'f32'], ...(half ? [['scales', 'read', 'f32']] as const : [])];
}

/** Scales of float16 inputs. */
export function scaleCode({ packedA }: ProductVariant): string {
  return `
  let scale_a = ${packedA ? '1.0' : 'scales[uniforms.slotA]'};
  let scale_b = scales[uniforms.slotB];`;
}

/** Four neighbouring bits of a stored row, from a column that is a multiple of four. */
export const fourBits = (row: string, column: string): string => `vec4f((vec4u(a[base + (${row}) * uniforms.leadA + (${column}) / 32u] >> ((${column}) % 32u)) >> vec4u(0, 1, 2, 3)) & vec4u(1))`;

/** Where a workgroup works; the same text in every product kernel. @param rows and columns of its tile. */
export function placeInResult(rows: number, columns: number): string {
  return `
  let columns_first = uniforms.columnsFirst == 1u;
  let row_0 = select(group.x, group.y, columns_first) * ${rows}u;
  let column_0 = select(group.y, group.x, columns_first) * ${columns}u;
  let batch = group.z % uniforms.batches;
  let base_a = uniforms.atA + batch * uniforms.strideA;
  let base_b = uniforms.atB + batch * uniforms.strideB;
  let base_out = uniforms.atOut + group.z * uniforms.strideOut;
  let start = (group.z / uniforms.batches) * uniforms.innerPerPart;
  let end = min(start + uniforms.innerPerPart, uniforms.inner);`;
}

/** Terms that are brought into workgroup memory at once. */
const STEP = 8;

/**
 * out = A·B by tiles of side × side results per workgroup: each step brings side × 8 of A and of B into workgroup memory (the next ones are
 * read meanwhile), and every invocation adds to 4 × 4 (32) or 8 × 8 (128) results in registers. Terms are added in ascending order, so the
 * result depends on nothing but the inputs and the plan. Reads past a matrix give something that is not stored, or zero past its inner extent.
 */
export function tileKernel(variant: ProductVariant, side: TileSide): GpuKernel {
  const { half, packedA } = variant;
  const across = side === 128 ? 16 : 8; // invocations along a side
  const pitch = side / 4 + 1; // one vector more than a row, so that writes of neighbours fall into different banks
  const vector = half ? 'vec4<f16>' : 'vec4f';
  return {
    name: `MatMul${half ? 'Half' : ''}${packedA ? 'Bits' : ''}${side}${variant.transposeA ? 'T' : 'N'}${variant.transposeB ? 'T' : 'N'}`,
    tensors: productTensors(variant), uniforms: PRODUCT_UNIFORM_TYPES, enable: half ? ['f16'] : [],
    code: `
const STEP = ${STEP}u;
const PITCH = ${pitch}u;
var<workgroup> tile_a: array<${vector}, ${STEP * pitch}>;
var<workgroup> tile_b: array<${vector}, ${STEP * pitch}>;
${packedA ? readBits(variant.transposeA) : readFour('a', variant.transposeA)}
${readFour('b', !variant.transposeB)}
${half ? '' : `fn startOf(base: u32, row: u32, column: u32) -> vec4f {
  if (uniforms.accumulate == 0u || row >= uniforms.rows) { return vec4f(); }
  let p = base + row * uniforms.leadOut + column;
  return vec4f(out[p], out[p + 1u], out[p + 2u], out[p + 3u]); // past the row: columns that are not stored
}`}
fn store(base: u32, row: u32, column: u32, sum: vec4f) {
  if (row >= uniforms.rows) { return; }
  let p = base + row * uniforms.leadOut + column;
  for (var i = 0u; i < 4u; i++) { if (column + i < uniforms.columns) { out[p + i] = ${half ? 'select(sum[i], out[p + i] + sum[i], uniforms.accumulate == 1u)' : 'sum[i]'}; } }
}
@compute @workgroup_size(${across * across})
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) local: u32) {${placeInResult(side, side)}
  let x = local % ${across}u;
  let y = local / ${across}u;
${multiplication({ variant, side, across })}
}`,
  };
}

/** Four elements of an operand at one inner index, next to each other along its outer side. */
function readFour(name: 'a' | 'b', isContiguous: boolean): string {
  const lead = `uniforms.lead${name.toUpperCase()}`;
  const [at, distance] = isContiguous ? [`base + k * ${lead} + outer`, '1u'] : [`base + outer * ${lead} + k`, lead];
  return `fn read_${name}(base: u32, outer: u32, k: u32, end: u32) -> vec4f {
  if (k >= end) { return vec4f(); }
  let p = ${at};
  return vec4f(${name}[p], ${name}[p + ${distance}], ${name}[p + 2u * ${distance}], ${name}[p + 3u * ${distance}]);
}`;
}

/** The same of packed spikes. */
function readBits(isContiguous: boolean): string {
  const column = (i: number): string => `a[base + (outer + ${i}u) * uniforms.leadA + k / 32u]`;
  return `fn read_a(base: u32, outer: u32, k: u32, end: u32) -> vec4f {
  if (k >= end) { return vec4f(); }
  return ${isContiguous ? fourBits('k', 'outer') : `vec4f((vec4u(${count(4).map(column).join(', ')}) >> vec4u(k % 32u)) & vec4u(1))`};
}`;
}

interface TileShape { readonly variant: ProductVariant; readonly side: TileSide; readonly across: number }

function multiplication({ variant, side, across }: TileShape): string {
  const { half } = variant;
  const quarters = side / 4;
  const reads = count(quarters * STEP / (across * across));
  const groups = count(side / across / 4); // vectors of 4 rows, or columns, per invocation
  const rows = count(side / across);
  const cell = (index: number, isContiguous: boolean): readonly [outer: string, k: string] => {
    const cellIndex = `(local + ${index * across * across}u)`;
    return isContiguous ? [`${cellIndex} % ${quarters}u`, `${cellIndex} / ${quarters}u`] : [`${cellIndex} / STEP`, `${cellIndex} % STEP`];
  };
  const operands = [['a', variant.transposeA, 'row_0'], ['b', !variant.transposeB, 'column_0']] as const;
  const each = (text: (name: string, index: number, where: { readonly outer: string; readonly k: string; readonly first: string }) => string): string =>
    operands.flatMap(([name, isContiguous, first]) => reads.map((index) => {
      const [outer, k] = cell(index, isContiguous);
      return text(name, index, { outer, k, first });
    })).join('\n');
  const resultAt = (row: number, column: number): string => `row_0 + 4u * (y + ${Math.floor(row / 4) * across}u) + ${row % 4}u, column_0 + 4u * (x + ${column * across}u)`;
  const rounded = (name: string, index: number): string => (half ? `vec4<f16>(next_${name}${index} * scale_${name})` : `next_${name}${index}`);
  return `
${half ? scaleCode(variant) : ''}
${each((name, index, { outer, k, first }) => `  var next_${name}${index} = read_${name}(base_${name}, ${first} + 4u * (${outer}), start + ${k}, end);`)}
${rows.flatMap((row) => groups.map((column) => `  var sum_${row}_${column} = ${half ? 'vec4f()' : `startOf(base_out, ${resultAt(row, column)})`};`)).join('\n')}
  for (var k = start; k < end; k += STEP) {
${each((name, index, { outer, k }) => `    tile_${name}[(${k}) * PITCH + ${outer}] = ${rounded(name, index)};`)}
    workgroupBarrier();
    if (k + STEP < end) {
${each((name, index, { outer, k, first }) => `      next_${name}${index} = read_${name}(base_${name}, ${first} + 4u * (${outer}), k + STEP + ${k}, end);`)}
    }
    for (var i = 0u; i < STEP; i++) {
${groups.map((group) => `      let a_${group} = vec4f(tile_a[i * PITCH + y + ${group * across}u]);\n      let b_${group} = vec4f(tile_b[i * PITCH + x + ${group * across}u]);`).join('\n')}
${rows.flatMap((row) => groups.map((column) => `      sum_${row}_${column} += a_${Math.floor(row / 4)}[${row % 4}] * b_${column};`)).join('\n')}
    }
    workgroupBarrier();
  }
${rows.flatMap((row) => groups.map((column) => {
    const sum = `sum_${row}_${column}`;
    return `  store(base_out, ${resultAt(row, column)}, ${half ? `${sum} / scale_a / scale_b` : sum});`;
  })).join('\n')}`;
}

const count = (length: number): number[] => Array.from({ length }, (_, i) => i);

import { columnsAtOnce } from '../student/groups.js';
import { groupCount, windowsOfGroup } from '../student/windows.js';
import { entranceWidth } from '../student/config.js';
import type { StepSizes } from './memory-estimate.js';
import type { MemoryEstimate, Moment, Shares } from './moments.js';
import { estimateOf } from './moments.js';

/** What decides, beside a step's sizes, how much memory the start of a student takes. */
export interface StartSizes {
  /** Windows that it is calibrated on. */ readonly sequences: number;
  /** Whether it sees the teacher's layers. */ readonly looksAtTeacher: boolean;
  /** Whether it is fitted to them by regression. */ readonly isFitted: boolean;
  /** Numbers of the student that are the teacher's own until the first step. */ readonly shared: number;
  /** Numbers of the largest tensor that groups of windows are made for. */ readonly atOnce: number;
}

type Units = ReturnType<typeof unitsOf>;

/** Letters as in `estimateMemory`: N tokens of all windows, n of a group, R = T·N and r = T·n rows. */
function unitsOf(sizes: StepSizes, { sequences, looksAtTeacher, isFitted, atOnce }: StartSizes) {
  const { student, teacher, context: L, streamsAttention, packsSpikes, poolsBuffers: pools } = sizes;
  const { hiddenSize: D, feedForwardSize: F, heads: H, neuron: { timeSteps: T } } = student;
  const E = entranceWidth(student);
  const count = groupCount(sequences, windowsOfGroup(student, L, { hasMaps: !streamsAttention, atOnce }));
  const [N, n] = [sequences * L, Math.ceil(sequences / count) * L];
  const isSingle = count === 1;
  // Buffers of groups of two sizes are kept side by side.
  const sizesKept = pools && sequences % count > 0 ? 2 : 1;
  const columns = (width: number, perRow = 1): number => columnsAtOnce(width, { rows: T * N * perRow, atOnce });
  return {
    D, E, F, H, T, L, N, n, R: T * N, r: T * n, isSingle, sizesKept, looksAtTeacher, isFitted, isSpike: student.residualWrite === 'spike', relativeBias: student.relativeBias, teacherD: teacher.hiddenSize, teacherF: teacher.feedForwardSize, streamsAttention, pools, columns,
    /** What stays on the backend where there is one group. */ kept: (numbers: number): number => (isSingle ? numbers : 0),
    /** What comes from ordinary memory, or is computed again, where there are several. */ anew: (numbers: number): number => (isSingle ? 0 : sizesKept * numbers),
    /** Spikes of an entrance as products take them; one group of those that are not packed is kept anyway. */
    words: packsSpikes ? T * N * Math.ceil(E / 32) : isSingle ? 0 : T * N * E,
  };
}

/**
 * Predicts what is alive at the moments of a start (`startStudent`). Only what a group of windows takes is there at once, with several groups; their streams
 * then wait in ordinary memory, as do Gram matrices while they are solved, and neither is in it.
 */
export function startMoments(sizes: StepSizes, start: StartSizes): Moment[] {
  const units = unitsOf(sizes, start);
  const common = residents(sizes, start, units);
  const moments = [...entranceMoments(units), ...unitMoments(units, 3 * units.D), ...unitMoments(units, units.F), ...attentionMoments(units), ...writeMoments(units)];
  return moments.map(({ name, shares }) => ({ name: `the start of the student, ${name}`, shares: { ...common, ...shares } }));
}

/** The peak of a start alone. */
export function estimateStart(sizes: StepSizes, start: StartSizes): MemoryEstimate {
  return estimateOf(startMoments(sizes, start), { 'the largest tensor of a group': 0 });
}

function residents(sizes: StepSizes, { shared }: StartSizes, { D, T, N, looksAtTeacher, teacherD, teacherF, kept }: Units): Shares {
  return {
    'weights': sizes.trained - shared, 'teacher weights': sizes.sampled === null ? sizes.whole : sizes.whole + sizes.frozen,
    'streams of all windows': kept(N * (T * D + (looksAtTeacher ? teacherD : 0))), 'a layer of the teacher': looksAtTeacher ? kept(N * (5 * teacherD + teacherF)) : 0,
  };
}

/** With a pool: buffers that a layer of the teacher has left behind. */
function teacherPass({ n, pools, looksAtTeacher, teacherD, teacherF, kept, anew }: Units): number {
  return pools && looksAtTeacher ? anew(n * (9 * teacherD + 3 * teacherF)) + kept(n * (6 * teacherD + 2 * teacherF)) : 0;
}

/** Spread of a stream, and biases of an entrance: spikes of some channels of all windows. */
function entranceMoments(units: Units): Moment[] {
  const { D, E, R, r, pools, words, isSingle, anew, columns } = units;
  const width = columns(D, E / D);
  return [
    { name: 'the spread of a stream', shares: { 'a stream and its differences': anew(r * D) + 2 * r * D } },
    { name: 'the biases of an entrance', shares: { 'channels and spikes': isSingle ? R * E : R * width * (1 + E / D) + (pools ? R * width : 0) } },
    { name: 'the spikes of an entrance', shares: { 'a stream and its spikes': anew(r * D) + r * E + words } },
  ];
}

/** Both sides of a regression for a group, as they are and centred, and their products: those so far, the group's, the sum of the two, and what is read. */
function regression({ n, pools, isSingle, sizesKept }: Units, inputs: number, outputs: number): Shares {
  return { 'both sides of a regression': sizesKept * 2 * n * (inputs + outputs), 'products of a regression': ((isSingle ? 1 : 3) + (pools ? 1 : 0)) * inputs * (inputs + outputs) };
}

/** qkv or fc1: regression, biases. */
function unitMoments(units: Units, width: number): Moment[] {
  const { E, R, r, words, pools, isFitted, kept, anew, columns } = units;
  const entry = { 'spikes of an entrance': kept(R * E) + words };
  const again = pools ? { 'spikes of a group': anew(r * E), 'what the teacher has computed': teacherPass(units) } : {};
  return [
    ...(isFitted ? [{ name: 'a regression', shares: { ...entry, ...again, ...regression(units, E, width) } }] : []),
    { name: 'the biases of neurons', shares: { ...entry, 'currents and spikes': 2 * Math.max(r * width, R * columns(width)) } },
  ];
}

/** Overlaps of queries and keys, and the attention of all heads or, with several groups, of some. */
function attentionMoments({ D, E, H, L, R, r, T, n, words, pools, relativeBias, streamsAttention, kept, anew, columns }: Units): Moment[] {
  const heads = columns(H, (3 * D) / H);
  const map = n * L;
  const entry = { 'spikes of an entrance': kept(R * E) + words, 'queries, keys and values': kept((pools ? 6 : 3) * R * D) };
  const share = heads / H;
  const some = { 'those of some heads': anew(3 * R * D * share), 'their currents': pools ? anew(3 * r * D * share) : 0 };
  return [
    ...(relativeBias ? [{ name: 'the overlaps of queries and keys', shares: { ...entry, ...some, 'their parts': 5 * r * D * share, 'attention maps': 2 * T * map * heads } }] : []),
    { name: 'attention', shares: { ...entry, 'those of a group': anew((pools ? 6 : 3) * r * D), 'summed values': (pools ? 2 : 1) * r * D, 'attention maps': streamsAttention ? 0 : (T + 1) * map * H } },
  ];
}

/** What is written to the stream: regressions on spikes of a group. */
function writeMoments(units: Units): Moment[] {
  const { D, E, F, R, r, n, words, pools, isFitted, isSpike, kept, anew } = units;
  const entry = { 'spikes of an entrance': kept(R * E) + words, 'hidden spikes': kept(R * F) };
  const again = pools ? { 'currents and spikes': anew(2 * r * F), 'a stream': anew(r * D), 'what the teacher has computed': teacherPass(units) } : {};
  return [
    ...(isFitted ? [{ name: 'a regression on hidden spikes', shares: { ...entry, ...again, ...regression(units, F, D) } }] : []),
    { name: 'hidden spikes', shares: { ...entry, 'currents and spikes': pools ? r * F + anew(r * F) + n * F : anew(2 * r * F), 'what is written': ((pools ? 3 : 2) + (isSpike ? 1 : 0)) * r * D + (pools ? anew(r * D) : 0) } },
  ];
}

import { Presets, SingleBar } from 'cli-progress';

import type { ProgressEvent, Reporter } from '../core/types.js';
import { formatBytes, formatValue } from './format.js';

/** A reporter that draws on stderr; `stop` leaves the cursor on a new line. */
export interface ProgressBars extends Reporter {
  stop(): void;
}

const LINE_EVERY_MS = 10_000;

/** Bars where stderr is a terminal, else a line every ten seconds and at the end of each phase. */
export function createProgressBars(stream: NodeJS.WriteStream): ProgressBars {
  return stream.isTTY ? terminalBars(stream) : plainLines(stream);
}

const valuesText = ({ values }: ProgressEvent): string =>
  Object.entries(values ?? {}).map(([name, value]) => `${name} ${formatValue(value)}`).join(' | ');

/** A count with its unit. */
const amount = (count: number, unit: ProgressEvent['unit']): string => (unit === 'bytes' ? formatBytes(count) : `${count} ${unit}`);

function terminalBars(stream: NodeJS.WriteStream): ProgressBars {
  let open: { readonly phase: string; readonly bar: SingleBar } | null = null;
  const stop = (): void => {
    open?.bar.stop();
    open = null;
  };
  const start = (event: ProgressEvent): SingleBar => {
    stop();
    const format = event.total === null ? '{phase}  {shown}  {values}' : '{phase} [{bar}] {percentage}%  {shown} of {shownTotal}  ETA {eta_formatted}  {values}';
    const bar = new SingleBar({ format, stream, hideCursor: true, barsize: 24, etaBuffer: 30, fps: 8 }, Presets.shades_classic);
    bar.start(event.total ?? Number.MAX_SAFE_INTEGER, event.done, payload(event));
    open = { phase: event.phase, bar };
    return bar;
  };
  const payload = (event: ProgressEvent) => ({
    phase: event.phase, values: valuesText(event), shown: event.unit === 'bytes' ? formatBytes(event.done) : event.done, shownTotal: amount(event.total ?? 0, event.unit),
  });
  return {
    progress: (event) => {
      const bar = open?.phase === event.phase ? open.bar : start(event);
      bar.update(event.done, payload(event));
      if (event.total !== null && event.done >= event.total) stop();
    },
    notice: (message) => {
      stop();
      stream.write(`${message}\n`);
    },
    stop,
  };
}

function plainLines(stream: NodeJS.WriteStream): ProgressBars {
  let phase = '';
  let lastMs = 0;
  return {
    progress: (event) => {
      const nowMs = performance.now();
      const isEnd = event.total !== null && event.done >= event.total;
      if (event.phase === phase && !isEnd && nowMs - lastMs < LINE_EVERY_MS) return;
      [phase, lastMs] = [event.phase, nowMs];
      const of = event.total === null ? amount(event.done, event.unit) : `${event.unit === 'bytes' ? formatBytes(event.done) : event.done} of ${amount(event.total, event.unit)}`;
      stream.write(`${`${event.phase}: ${of}  ${valuesText(event)}`.trimEnd()}\n`);
    },
    notice: (message) => { stream.write(`${message}\n`); },
    stop: () => undefined,
  };
}

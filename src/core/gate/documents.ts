import type { Comparison, GateReport } from './compare.js';

const number = (value: number | null): string => (value === null ? '–' : String(Number(value.toPrecision(6))));

/** How far a measure moved and how far it may. */
function explain({ name, baseline, value, tolerance, chance, repeats, verdict, better }: Comparison): string {
  const moved = `${name} is ${number(value)}, was ${number(baseline)} (${better} is better)`;
  if (verdict === 'missing') return `${name} was not measured; the baseline has it at ${number(baseline)}`;
  if (chance !== null) return `${moved}; were nothing changed, items would be lost like this with a chance of ${number(chance)}`;
  return tolerance === null ? moved : `${moved}; it may be worse by ${number(tolerance)}, from ${repeats} ${repeats === 1 ? 'repeat' : 'repeats'}`;
}

/** A Markdown summary, e.g. for a pull request. */
export function gateMarkdown({ passed, comparisons, notes }: GateReport): string {
  const rows = comparisons.map(({ name, baseline, value, tolerance, chance, verdict }) =>
    `| ${name} | ${number(baseline)} | ${number(value)} | ${chance === null ? number(tolerance) : `p = ${number(chance)}`} | ${verdict === 'worse' || verdict === 'missing' ? `**${verdict}**` : verdict} |`);
  return [
    `## ${passed ? 'Gate passed' : 'Gate failed'}`, '', '| measure | baseline | now | tolerance | |', '|---|---|---|---|---|', ...rows, '', ...notes.map((note) => `${note}\n`),
  ].join('\n');
}

const escape = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');

/** JUnit XML: a test case for every measure. */
export function gateJunit({ comparisons }: GateReport): string {
  const isFailure = ({ verdict }: Comparison): boolean => verdict === 'worse' || verdict === 'missing';
  const cases = comparisons.map((comparison) => {
    const open = `    <testcase classname="bispik.gate" name="${escape(comparison.name)}"`;
    return isFailure(comparison) ? `${open}>\n      <failure message="${escape(explain(comparison))}"/>\n    </testcase>` : `${open}/>`;
  });
  const failures = comparisons.filter(isFailure).length;
  return [
    '<?xml version="1.0" encoding="UTF-8"?>', `<testsuites tests="${comparisons.length}" failures="${failures}">`,
    `  <testsuite name="bispik gate" tests="${comparisons.length}" failures="${failures}">`, ...cases, '  </testsuite>', '</testsuites>', '',
  ].join('\n');
}

/** What failed, one line each. */
export function gateFailures({ comparisons }: GateReport): string[] {
  return comparisons.filter(({ verdict }) => verdict === 'worse' || verdict === 'missing').map(explain);
}

// Writes docs/benchmarks.md: every figure beside its limit of the same run, its target, and whether it was met.
import { readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';

const number = (value, unit) => (value === null ? '–' : `${value >= 100 ? Math.round(value) : value.toFixed(value >= 10 ? 1 : 2)} ${unit}`);

/** The target in words and whether the figure meets it. */
export function judge({ measured, ratio, over, target }) {
  if (target.most !== undefined) return { text: `ratio ≤ ${target.most}`, met: ratio <= target.most };
  if (target.least !== undefined) return { text: `ratio ≥ ${target.least}`, met: ratio >= target.least };
  if (target.mostOver !== undefined) return { text: `≤ ${target.mostOver} ms over the limit (here ${Math.round(over)} ms)`, met: over <= target.mostOver };
  if (target.leastMeasured !== undefined) {
    const { leastMeasured, orLeast = Infinity } = target;
    return { text: `≥ ${leastMeasured}${orLeast === Infinity ? '' : `, or ratio ≥ ${orLeast}`}`, met: measured >= leastMeasured || (ratio !== null && ratio >= orLeast) };
  }
  if (target.mostMeasured !== undefined) return { text: `≤ ${target.mostMeasured}`, met: measured <= target.mostMeasured };
  return { text: 'none', met: null };
}

export function report(rows, notes) {
  const model = /^model name\s*: (.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1] ?? 'unknown';
  const lines = rows.map((row) => {
    const { text, met } = judge(row);
    return `| ${row.what} | ${number(row.measured, row.unit)} | ${row.limit === null ? '–' : `${number(row.limit, row.unit)} (${row.limitText})`} | ${row.ratio === null ? '–' : row.ratio.toFixed(2)} | ${text} | ${met === null ? '–' : met ? 'yes' : '**no**'} |`;
  });
  return `# Benchmarks

Written by \`npm run bench\`; every limit was measured in the same run, on the same machine, in alternation with the figure beside it.
Guests run under ${notes.accelerator}. Machine: ${cpus().length} × ${model}, ${Math.round(totalmem() / 1024 ** 3)} GiB; ${notes.date}.

| what | measured | limit | ratio | target | met |
|---|---|---|---|---|---|
${lines.join('\n')}
${notes.text}`;
}

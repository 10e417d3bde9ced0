// How the plan of a dry run reads.
import type { Plan } from '#contracts';

type Step = Plan['steps'][number];
const outlooks: Readonly<Record<Step['outlook'], string>> = { foreseen: 'would be done', planned: 'follows; what it finds shows only then', fails: 'would fail' };

const section = (title: string, lines: readonly string[]): string[] => (lines.length === 0 ? [] : [title, ...lines.map((line) => `  ${line}`)]);

export function planLines({ task, succeeds, checks, decisions, warnings, steps, result }: Plan): string[] {
  const head = succeeds ? 'Nothing was done. This would happen:' : 'Nothing was done. The command would be accepted, and its task would fail:';
  return [
    head,
    ...section('Checks passed', checks),
    ...section('Decisions', decisions.map(({ text }) => text)),
    ...section(`Steps${task === null ? '' : ` of the task ${task}`}`, steps.flatMap(stepLines)),
    ...section('Warnings', warnings),
    ...(task === null ? section('It would answer', [JSON.stringify(result)]) : []),
  ];
}

const stepLines = ({ name, outlook, decisions }: Step, at: number): string[] => [`${at + 1}. ${name}: ${outlooks[outlook]}`, ...decisions.map(({ text }) => `   ${text}`)];

// The part of docs/faults.md about the last churn.
import { PARTS, writePart } from './page-parts.mjs';

/** Markdown, between its two marks. Of a run that failed nothing is known but that. */
export function churnText({ minutes, when, passed, rounds, tasks, kills, orphans, slowestMs }) {
  const found = passed
    ? `${rounds} VMs came and went in ${tasks} tasks, and services and agents were killed ${kills} times, one after another. Nothing that lived was ever taken for a difference, and nothing was left over. ${orphans} files that nobody knows were put beside it: each was found, after ${(slowestMs / 1000).toFixed(1)} s at most.`
    : 'Something that lived was taken for a difference, an orphan was not found in time, a task failed, or something was left over; its log says which.';
  return [
    PARTS.churn.begin, '## The churn', '',
    'VMs are made, held still, put to sleep and woken, switched off, given disks and NICs, started and deleted, over and over, while the',
    'reconciler looks for differences (`docs/guides/drift.md`).', '',
    `\`npm run churn -- --minutes ${minutes}\` on ${when.slice(0, 10)}: **${passed ? 'passed' : 'failed'}**. ${found}`, '',
    PARTS.churn.end, '',
  ].join('\n');
}

export const writeChurnReport = (result, say) => { writePart('churn', churnText(result), say); };

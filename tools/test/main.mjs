// `npm test`: sets up what a fresh Debian machine lacks, then runs every stage and says how long each took. The last
// line is `N passed, N failed` (with `, N skipped` when there are any); the exit code is 0 only when nothing failed.
// Usage: node tools/test/main.mjs [STAGE …] [options of the kill matrix], see `stages.mjs` and `matrix-options.mjs`. Runs with any Node.js from 18 on, before `npm ci`.
import { withLock } from '../lab.d/lock.mjs';
import { bootRetries } from './boot-retries.mjs';
import { endServers, endTestLab, runLock } from './test-lab.mjs';
import { removeLeftovers } from '../../test/integration/setup.mjs';
import { beginMatrix, readWords } from './matrix-options.mjs';
import { prepare } from './prepare.mjs';
import { runStage, stageNames, stages } from './stages.mjs';
import { sum } from './tally.mjs';
import { endOnSignal } from './signals.mjs';

const say = (text) => console.log(text);
const seconds = (since) => ((Date.now() - since) / 1000).toFixed(1);

async function main(argv) {
  const { stages: words, matrix, fresh } = readWords(argv);
  process.env.TOK_MATRIX = JSON.stringify(matrix); // read by the fault tests
  if (matrix.mode === 'whole') beginMatrix(fresh);
  const unknown = words.filter((word) => !stageNames.includes(word));
  if (unknown.length > 0) throw new Error(`There is no stage ${unknown.join(', ')}. There are: ${stageNames.join(' ')}.`);
  const chosen = words.length === 0 ? stageNames : stageNames.filter((name) => words.includes(name));
  const keep = process.env.TOK_TEST_KEEP === '1';
  process.env.TOK_TEST_KEEP = '1'; // one lab for the stages that need it, ended below
  // One run at a time uses the test lab of this tree; what a run that was killed left of it is removed first.
  return withLock(runLock(), () => runAll(chosen, { keep }));
}

async function runAll(chosen, { keep }) {
  endOnSignal(() => (keep ? removeLeftovers() : endServers()));
  const started = Date.now();
  if (!keep) await endTestLab();
  await prepare(say);
  say(`prepared (${seconds(started)} s)`);
  const results = [];
  try {
    for (const name of chosen) {
      const at = Date.now();
      say(`\n== ${name}: ${stages[name].what}`);
      const result = await runStage(name, say);
      results.push({ name, ...result, took: seconds(at) });
      say(`== ${name}: ${countsText(result)} (${seconds(at)} s)`);
    }
  } finally {
    bootRetries();
    if (!keep) await endTestLab();
  }
  return report(results, seconds(started));
}

const countsText = ({ passed, failed, skipped }) => `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;

function report(results, took) {
  say('');
  for (const { name, took: stageTook, failures, skips, ...counts } of results) {
    say(`${name.padEnd(12)} ${countsText(counts).padEnd(40)} ${stageTook.padStart(7)} s`);
    for (const failure of failures) say(`  failed: ${failure}`);
    for (const skip of skips) say(`  skipped: ${skip}`);
  }
  const retries = bootRetries();
  if (retries > 0) say(`guests that did not boot at once and were started again: ${retries}`);
  const total = sum(results);
  say(`all in ${took} s\n`);
  say(countsText(total));
  return total.failed === 0 ? 0 : 1;
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code; }, (error) => {
  console.error(error.message);
  console.log('\n0 passed, 1 failed');
  process.exitCode = 1;
});

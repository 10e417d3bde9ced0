// `npm run chaos -- --minutes N --seed S [--tasks N]`: a chaos run in a lab of its own. What it came to is written into
// docs/faults.md; a run that fails keeps what is needed to understand it in .lab-chaos. Ends with 1 when anything was not as it must be.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { REPO } from '../lab.d/layout.mjs';
import { withLock } from '../lab.d/lock.mjs';
import { writeChaosReport } from './chaos-report.mjs';
import { prepare } from './prepare.mjs';
import { runToEnd } from './run-to-end.mjs';
import { endOnSignal } from './signals.mjs';
import { endServers, endTestLab, runLock } from './test-lab.mjs';
import { readChaosWords } from './chaos-words.mjs';

const say = (text) => console.log(text);
const MINUTE = 60_000;

async function main(argv) {
  const options = readChaosWords(argv);
  const dir = join(REPO, '.lab-chaos', `seed-${options.seed}-${new Date().toISOString().replaceAll(/[:.]/g, '-')}`);
  mkdirSync(dir, { recursive: true });
  process.env.TOK_CHAOS = JSON.stringify({ ...options, dir });
  return withLock(runLock(), async () => {
    endOnSignal(endServers);
    await endTestLab();
    await prepare(say);
    try {
      const code = await runToEnd(['node', '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', join(REPO, 'node_modules/jest/bin/jest.js'), '--selectProjects', 'chaos', '--runInBand'], { mostMs: (4 * options.minutes + 40) * MINUTE });
      const file = join(dir, 'result.json');
      if (existsSync(file)) writeChaosReport(JSON.parse(readFileSync(file, 'utf8')), say);
      if (code !== 0) say(`what happened, and the logs of everything, lie in ${dir}`);
      return code === 0 ? 0 : 1;
    } finally {
      await endTestLab();
    }
  });
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code; }, (error) => {
  console.error(error.message);
  process.exitCode = 1;
});

// `npm run churn -- --minutes N`: VMs come and go in a pool of its own for so long, with an orphan put in every minute, and nothing that
// lives may ever be taken for one. What it came to is written into docs/faults.md. Exit code 0 only when nothing was.
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { withLock } from '../lab.d/lock.mjs';
import { writeChurnReport } from './churn-report.mjs';
import { endServers, endTestLab, runLock } from './test-lab.mjs';
import { prepare } from './prepare.mjs';
import { runToEnd } from './run-to-end.mjs';
import { endOnSignal } from './signals.mjs';

const minutesOf = (words) => {
  const [option, value, ...rest] = words;
  if (words.length === 0) return 60;
  if (option !== '--minutes' || !/^[1-9]\d{0,3}$/.test(value ?? '') || rest.length > 0) throw new Error('usage: npm run churn -- [--minutes N]; 60 if it is not said');
  return Number(value);
};

async function main(words) {
  const minutes = minutesOf(words);
  return withLock(runLock(), async () => {
    endOnSignal(() => endServers());
    await endTestLab();
    await prepare((text) => console.log(text));
    const dir = mkdtempSync(join(tmpdir(), 'tok-churn-'));
    const file = join(dir, 'result.json');
    Object.assign(process.env, { TOK_TEST_CHURN_MINUTES: String(minutes), TOK_TEST_CHURN_RESULT: file });
    try {
      const code = await runToEnd(['node', '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--selectProjects', 'churn', '--runInBand'], { mostMs: (minutes + 15) * 60_000 });
      const passed = code === 0 && existsSync(file);
      writeChurnReport({ minutes, when: new Date().toISOString(), passed, ...(passed ? JSON.parse(readFileSync(file, 'utf8')) : {}) }, (text) => console.log(text));
      return passed ? 0 : 1;
    } finally {
      rmSync(dir, { recursive: true });
      await endTestLab();
    }
  });
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code === 0 ? 0 : 1; }, (error) => {
  console.error(error.message);
  process.exitCode = 1;
});

// `npm run churn -- --minutes N`: VMs come and go in a pool of its own for so long, with an orphan put in every minute, and nothing that
// lives may ever be taken for one. Exit code 0 only when nothing was.
import { withLock } from '../lab.d/lock.mjs';
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
  process.env.TOK_TEST_CHURN_MINUTES = String(minutes);
  return withLock(runLock(), async () => {
    endOnSignal(() => endServers());
    await endTestLab();
    await prepare((text) => console.log(text));
    try {
      return await runToEnd(['node', '--experimental-vm-modules', '--disable-warning=ExperimentalWarning', 'node_modules/jest/bin/jest.js', '--selectProjects', 'churn', '--runInBand'], { mostMs: (minutes + 15) * 60_000 });
    } finally {
      await endTestLab();
    }
  });
}

main(process.argv.slice(2)).then((code) => { process.exitCode = code === 0 ? 0 : 1; }, (error) => {
  console.error(error.message);
  process.exitCode = 1;
});

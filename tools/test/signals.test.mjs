// A run that is told to end: it goes no further, and cleans up.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { identify } from '../lab.d/processes.mjs';

const here = (file) => new URL(file, import.meta.url).href;
/** Two commands after one another; says the first one's pid, and what is done at the end. */
const RUN = `
  import { endOnSignal } from ${JSON.stringify(here('signals.mjs'))};
  import { runToEnd } from ${JSON.stringify(here('run-to-end.mjs'))};
  endOnSignal(() => { console.log('cleaned up'); });
  await runToEnd(['sh', '-c', 'echo pid $$; exec sleep 60'], { mostMs: 60_000 });
  await runToEnd(['echo', 'the second'], { mostMs: 60_000 });
`;

for (const [signal, code] of [['SIGTERM', 143], ['SIGINT', 130], ['SIGHUP', 129]]) {
  test(`${signal} ends the command at work, begins none, and cleans up`, async () => {
    const run = spawn(process.execPath, ['--input-type=module', '--eval', RUN], { stdio: ['ignore', 'pipe', 'inherit'] });
    let out = '';
    const ended = new Promise((resolve) => { run.on('close', resolve); });
    const pid = await new Promise((resolve) => {
      run.stdout.setEncoding('utf8').on('data', (text) => {
        out += text;
        const found = /pid (\d+)\n/.exec(out);
        if (found) resolve(Number(found[1]));
      });
    });
    run.kill(signal);
    run.kill(signal);
    assert.equal(await ended, code);
    assert.match(out, /cleaned up\n$/);
    assert.doesNotMatch(out, /the second/);
    assert.equal(identify(pid), undefined);
  });
}

// npm passes a signal on to the shell that it starts. A shell that waits for a command dies of it and tells the command
// nothing: npm is gone then, and the run goes on with nobody to end it.
test('no shell stands between npm and the run, nor between CI and npm', () => {
  const { scripts } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  const runs = Object.entries(scripts).filter(([, script]) => script.includes('tools/test/main.mjs'));
  assert.ok(runs.length >= 5);
  for (const [name, script] of runs) assert.match(script, /^exec node /, name);
  assert.match(readFileSync(new URL('../../.ci/run', import.meta.url), 'utf8'), /\nexec npm test\b[^\n]*\n$/);
});

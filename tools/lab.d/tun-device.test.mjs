import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { closeTunDevice, openTunDevice } from './tun-device.mjs';

const module = join(import.meta.dirname, 'tun-device.mjs');

/** Another run that opens the device, and closes it when it is told to. */
async function otherRun(where) {
  const program = `
    const { openTunDevice, closeTunDevice } = await import(${JSON.stringify(module)});
    const where = ${JSON.stringify(where)};
    await openTunDevice({ ...where, say() {} });
    process.stdout.write('open');
    process.stdin.once('data', async () => { await closeTunDevice(where, { othersRun: false }); process.exit(0); });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return child;
}

test('the last of several runs puts the mode of the tun device back, also when one was killed', async () => {
  const cache = mkdtempSync(join(tmpdir(), 'tok-tun-'));
  const where = { cache, device: join(cache, 'device') };
  const mode = () => statSync(where.device).mode & 0o777;
  const say = () => {};
  try {
    writeFileSync(where.device, '', { mode: 0o600 });
    await openTunDevice({ ...where, say });
    const [ends, dies] = [await otherRun(where), await otherRun(where)];
    await closeTunDevice(where, { othersRun: false });
    assert.equal(mode(), 0o666);
    dies.kill('SIGKILL');
    await once(dies, 'exit');
    ends.stdin.end('close\n');
    await once(ends, 'exit');
    assert.equal(mode(), 0o600);

    await openTunDevice({ ...where, say });
    await closeTunDevice(where, { othersRun: true });
    assert.equal(mode(), 0o666, 'a lab still has its hosts up');
    await closeTunDevice(where, { othersRun: false });
    assert.equal(mode(), 0o600);

    chmodSync(where.device, 0o666);
    await openTunDevice({ ...where, say });
    await closeTunDevice(where, { othersRun: false });
    assert.equal(mode(), 0o666, 'what was open before stays open');
  } finally {
    rmSync(cache, { recursive: true, force: true });
  }
});

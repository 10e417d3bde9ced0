import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { withLock } from './lock.mjs';
import { identify } from './processes.mjs';

const dir = mkdtempSync(join(tmpdir(), 'lab-lock-'));
const file = join(dir, 'up.lock');
after(() => rmSync(dir, { recursive: true, force: true }));

test('the work runs under the lock, which is gone afterwards, also after a failure', async () => {
  assert.equal(await withLock(file, async () => existsSync(file)), true);
  await assert.rejects(withLock(file, async () => { throw new Error('work failed'); }), /work failed/);
  assert.ok(!existsSync(file));
});

test('a live holder is respected and named', async () => {
  const holder = spawn('sleep', ['60']);
  writeFileSync(file, JSON.stringify(identify(holder.pid)));
  await assert.rejects(withLock(file, async () => {}), new RegExp(`process ${holder.pid}`));
  holder.kill('SIGKILL');
});

test('the lock of a process that is gone is taken over', async () => {
  writeFileSync(file, JSON.stringify({ pid: process.pid, startTime: '1' }));
  assert.equal(await withLock(file, async () => 'done'), 'done');
});

test('a waiter goes on when the holder ends', async () => {
  const holder = spawn('sleep', ['0.3']);
  writeFileSync(file, JSON.stringify(identify(holder.pid)));
  assert.equal(await withLock(file, async () => 'done', { waitMs: 5_000 }), 'done');
});

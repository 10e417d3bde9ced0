import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { end, identify, isAlive, lastLines, parseStat, processTable } from './processes.mjs';

const dir = mkdtempSync(join(tmpdir(), 'lab-processes-'));
after(() => rmSync(dir, { recursive: true, force: true }));
const table = processTable(join(dir, 'run'), join(dir, 'log'));

test('the start time is read past a command name with spaces and brackets', () => {
  const fields = Array.from({ length: 50 }, (_, index) => `f${index + 3}`);
  fields[0] = 'S';
  assert.deepEqual(parseStat(`42 (a ) b (c) ${fields.join(' ')}`), { state: 'S', startTime: 'f22' });
});

test('a process is recorded with pid and start time, readable by its owner only, and found again', async () => {
  const record = table.start('sleeper', ['sleep', '60']);
  assert.equal(statSync(join(dir, 'run/sleeper.json')).mode & 0o777, 0o600);
  assert.equal(identify(record.pid).startTime, record.startTime);
  assert.ok(processTable(join(dir, 'run'), join(dir, 'log')).isAlive('sleeper'));
  assert.equal(table.start('sleeper', ['sleep', '60']).pid, record.pid, 'a live process is not started twice');
  await table.stop('sleeper');
  assert.ok(!isAlive(record));
  assert.equal(table.get('sleeper'), undefined);
});

test('one that runs first says so in its record, and weighs more where the kernel groups processes by session', async () => {
  const record = table.start('first', ['sleep', '60'], { runsFirst: true });
  assert.equal(table.get('first').runsFirst, true);
  if (process.getuid() === 0 && existsSync(`/proc/${record.pid}/autogroup`)) assert.match(readFileSync(`/proc/${record.pid}/autogroup`, 'utf8'), / nice -10$/m);
  await table.stop('first');
});

test('a pid that was used again by another process is not signalled', async () => {
  const record = { ...identify(process.pid), startTime: '1' };
  assert.ok(!isAlive(record));
  await end(record);
});

test('a record of a process that could not be identified is not alive', () => {
  assert.ok(!isAlive({ pid: 2 ** 22 + 1, startTime: undefined }));
  assert.ok(!isAlive(undefined));
});

test('a process that ignores SIGTERM is killed, and a halted one is ended', async () => {
  const stubborn = table.start('stubborn', ['sh', '-c', 'trap "" TERM; echo set; while :; do sleep 0.05; done']);
  while (!lastLines(table.logFile('stubborn')).includes('set')) await new Promise((resolve) => setTimeout(resolve, 10));
  await table.stop('stubborn', { waitMs: 100 });
  assert.ok(!isAlive(stubborn));

  const halted = table.start('halted', ['sleep', '60']);
  table.signal('halted', 'SIGSTOP');
  await table.stop('halted', { waitMs: 2_000 });
  assert.ok(!isAlive(halted));
});

test('all are stopped from the youngest to the oldest', async () => {
  const log = join(dir, 'order');
  for (const name of ['first', 'second']) {
    table.start(name, ['sh', '-c', `trap 'echo ${name} >> ${log}; exit 0' TERM; echo set; while :; do sleep 0.02; done`]);
    while (!lastLines(table.logFile(name)).includes('set')) await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await table.stopAll();
  assert.equal(readFileSync(log, 'utf8'), 'second\nfirst\n');
  assert.deepEqual(table.list(), []);
});

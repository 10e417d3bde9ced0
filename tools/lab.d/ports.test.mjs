import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { choosePorts, isFree, recordedPorts } from './ports.mjs';

const always = async () => true;

test('every name gets a port of its own', async () => {
  const ports = await choosePorts(['a', 'b', 'c'], { free: always });
  assert.equal(new Set(Object.values(ports)).size, 3);
});

test('a recorded port is kept, and no new name gets it', async () => {
  const ports = await choosePorts(['a', 'b'], { known: { a: 20_005 }, seed: 5, free: always });
  assert.equal(ports.a, 20_005);
  assert.notEqual(ports.b, 20_005);
});

test('a port in use is passed over', async () => {
  const ports = await choosePorts(['a'], { free: async (port) => port !== 20_000 });
  assert.equal(ports.a, 20_001);
});

test('it says so when no port is left', async () => {
  await assert.rejects(choosePorts(['a'], { free: async () => false }), /No free port/);
});

test('a listening port is not free', async () => {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  assert.equal(await isFree(server.address().port), false);
  server.close();
});

test('the record outlives the choice', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lab-ports-'));
  const first = await recordedPorts(join(dir, 'ports.json'), ['a'], 100);
  const second = await recordedPorts(join(dir, 'ports.json'), ['a', 'b'], 900);
  assert.equal(second.a, first.a);
  rmSync(dir, { recursive: true });
});

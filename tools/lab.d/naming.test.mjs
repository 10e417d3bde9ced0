import assert from 'node:assert/strict';
import { test } from 'node:test';
import { uuidv7 } from './hosts.mjs';
import { isNewEnough } from './packages.mjs';
import { table } from './status.mjs';
import { legName } from './uplink.mjs';

test('host ids are UUIDs of version 7 that sort by time', () => {
  const [first, second] = [uuidv7(1_700_000_000_000), uuidv7(1_700_000_000_001)];
  assert.match(first, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.ok(first < second);
  assert.equal(parseInt(first.replaceAll('-', '').slice(0, 12), 16), 1_700_000_000_000);
});

test('NATS 2.10 is new enough, 2.9 is not', () => {
  assert.ok(isNewEnough('nats-server: v2.10.27'));
  assert.ok(isNewEnough('nats-server: v3.0.0'));
  assert.ok(!isNewEnough('nats-server: v2.9.10'));
  assert.ok(!isNewEnough('nothing'));
});

test('a router leg of the highest VLAN has a name that Linux takes', () => {
  assert.ok(legName(4094).length <= 15);
});

test('columns of a table line up', () => {
  assert.equal(table([['a', 'bb'], ['ccc', 'd']]), 'a    bb\nccc  d');
});

// What the record of the kill matrix keeps of a run, and what it forgets.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cellsOf, recordText, withCells } from './matrix-record.mjs';

const points = { stop: ['before press', 'after press'], start: ['before place'] };
const cell = (kind, name, victims, state = 'passed') => ({ kind, place: name.split(' ')[0], step: name.split(' ')[1], victims, state, why: null });
const empty = { points: {}, sets: [] };
const seen = { commit: 'abc', day: '2026-01-01' };
const stopped = (victims, state) => [cell('stop', 'before press', victims), cell('stop', 'after press', victims, state)];

test('a kind is kept under a set of victims when it has passed at all its points', () => {
  const record = withCells(empty, points, [...stopped(['nats']), ...stopped(['redis'], 'failed'), ...stopped(['ha'], 'skipped'), cell('start', 'before place', ['redis', 'nats'])], seen);
  assert.deepEqual(record.sets, [{ victims: ['nats'], kinds: ['stop'], ...seen }, { victims: ['nats', 'redis'], kinds: ['start'], ...seen }]);
  assert.deepEqual(cellsOf(record).map(({ kind, place, step, victims, state }) => [kind, place, step, victims.join('+'), state]), [
    ['stop', 'before', 'press', 'nats', 'passed'], ['stop', 'after', 'press', 'nats', 'passed'], ['start', 'before', 'place', 'nats+redis', 'passed'],
  ]);
});

test('a later run adds to it, and keeps where the earlier one has passed', () => {
  const first = withCells(empty, points, stopped(['nats']), seen);
  const later = { commit: 'def', day: '2026-01-02' };
  const second = withCells(first, points, [...stopped(['nats']), cell('start', 'before place', ['nats'])], later);
  assert.deepEqual(second.sets, [{ victims: ['nats'], kinds: ['stop'], ...seen }, { victims: ['nats'], kinds: ['start'], ...later }]);
  assert.deepEqual(withCells(first, points, [cell('start', 'before place', ['nats'])], seen).sets, [{ victims: ['nats'], kinds: ['start', 'stop'], ...seen }]);
});

test('a kind with other points than before is forgotten, and one that is gone', () => {
  const record = withCells(empty, points, [...stopped(['nats']), cell('start', 'before place', ['nats'])], seen);
  assert.deepEqual(withCells(record, { ...points, stop: [...points.stop, 'before pull'] }, [], seen).sets[0].kinds, ['start']);
  assert.deepEqual(withCells(record, { stop: points.stop }, [], seen).sets[0].kinds, ['stop']);
});

test('it is written so that it can be read again, a line for each set', () => {
  const record = withCells(empty, points, [...stopped(['nats']), ...stopped(['redis'])], seen);
  assert.deepEqual(JSON.parse(recordText(record)), record);
  assert.equal(recordText(record).split('\n').filter((line) => line.includes('victims')).length, 2);
});

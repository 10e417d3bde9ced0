// How the cells of the kill matrix become a page.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { countText, matrixText, ofPlan, readCells } from './matrix-report.mjs';
import { PARTS, partOf } from './page-parts.mjs';

const cell = (state, victims = ['nats'], step = 'press') => ({ kind: 'compute.vm.stop', step, place: 'before', victims, state, why: state === 'passed' ? null : 'because' });

test('the last outcome of a cell counts, whatever the order of its victims', () => {
  const dir = mkdtempSync(join(tmpdir(), 'tok-matrix-'));
  try {
    const file = join(dir, 'cells');
    writeFileSync(file, [cell('failed', ['nats', 'redis']), cell('passed', ['redis', 'nats'])].map((one) => `${JSON.stringify(one)}\n`).join(''));
    assert.deepEqual(readCells(file).map(({ state }) => state), ['passed']);
    assert.deepEqual(readCells(join(dir, 'none')), []);
  } finally {
    rmSync(dir, { recursive: true });
  }
});

test('cells of points that a kind no longer has do not count, and what a kill left over does', () => {
  const at = (kind, place) => ({ ...cell('passed'), kind, step: 'press', place });
  const [now, gone, unknown, slate] = [at('compute.vm.stop', 'after'), at('compute.vm.stop', 'undo-after'), at('compute.vm.fly', 'after'), at('clean slate', 'after')];
  assert.deepEqual(ofPlan([now, gone, unknown, slate], { 'compute.vm.stop': ['before press', 'after press'] }), [now, slate]);
  assert.deepEqual(ofPlan([now, gone], {}), [now, gone]);
});

test('counts say what failed and what was skipped', () => {
  assert.equal(countText([]), '–');
  assert.equal(countText([cell('passed'), cell('failed'), cell('skipped')]), '1, **1 failed**, 1 skipped');
  assert.deepEqual([countText([cell('passed')], 4), countText([cell('passed')], 1)], ['1 of 4', '1']);
});

test('the page has a row per kind, the pairs, and why something did not pass', () => {
  const text = matrixText([cell('passed'), cell('failed', ['nats', 'qemu'])]);
  assert.match(text, /Gone through: 2 cells, 1 passed, 1 failed, 0 skipped/);
  assert.match(text, /\| compute\.vm\.stop \|.*\| \d[^|]*\| –/);
  assert.match(text, /failed: compute\.vm\.stop, before press, nats and qemu killed: because/);
  assert.match(matrixText([cell('passed'), { ...cell('passed'), place: 'undo-after' }], { 'compute.vm.stop': Array.from({ length: 8 }, (_, at) => `before step-${at}`) }), /The whole: 8 points of 1 kinds, killed 14 times alone and 91 times in pairs: 840 cells, 112 of them alone[^]*\| compute\.vm\.stop \| 8 \|.*\| 2 of 8 \|[^]*- compute\.vm\.stop: press, undo of press/);
  assert.match(matrixText([], {}, [{ day: '2026-01-02', commit: 'b' }, { day: '2026-01-01', commit: 'a' }]), /from 2026-01-01 to 2026-01-02, on the commits b, a\./);
  assert.equal(partOf(`before\n${text}\nafter`, PARTS.matrix), text);
  assert.equal(partOf('no such part', PARTS.matrix), '');
});

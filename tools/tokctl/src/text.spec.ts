// Sizes, durations, tables and what terminals get to see.
import { describe, expect, it } from '@jest/globals';
import { Task } from '#contracts';
import { sizeText } from '#kernel';
import { someId, taskBody } from './platform.fixture.ts';
import { barLine, logLine } from './task-text.ts';
import { allErrors } from '#contracts';
import { commandTree } from './command-tree.ts';
import { exitCodeOf, exitMeanings, exit } from './exit-codes.ts';
import { advice, problemLines } from './failures.ts';
import { cellOf, itemText, listText, valuesAt } from './output.ts';
import type { Look } from './output.ts';
import { nouns } from './nouns.ts';
import { durationText, parseDuration, parseSize } from './quantities.ts';
import { tableText } from './table.ts';
import { cut, visible, width } from './visible.ts';

describe('sizes', () => {
  it.each([['10GiB', 10 * 2 ** 30], ['512MiB', 512 * 2 ** 20], ['512M', 512 * 2 ** 20], ['1.5GiB', 1.5 * 2 ** 30], ['20GB', 20e9], ['4096', 4096], ['2 TiB', 2 * 2 ** 40], ['0', 0]])('%s is %d bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });
  it.each(['', 'GiB', '-1GiB', '10gib', '1e9', '0.3', '99999999TiB', '10 GiB x', '0x10', '1,5GiB', '10constructor'])('"%s" is none', (text) => {
    expect(parseSize(text)).toBeUndefined();
  });
  it('read well', () => {
    expect([0, 1023, 1024, 1_610_612_736, 2 ** 40].map(sizeText)).toEqual(['0 B', '1023 B', '1 KiB', '1.5 GiB', '1 TiB']);
  });
});

describe('durations', () => {
  it.each([['500ms', 500], ['30s', 30_000], ['5m', 300_000], ['2h', 7_200_000], ['1.5s', 1500], ['0', 0]])('%s is %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });
  it.each(['30', '', 's', '-1s', '1y'])('"%s" is none', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });
  it('read well', () => {
    expect([900, 59_000, 125_000, 3_600_000, 90_000_000].map(durationText)).toEqual(['1s', '59s', '2m5s', '1h', '1d1h']);
  });
});

describe('tables', () => {
  const headings = [{ title: 'NAME', flexible: true }, { title: 'SIZE', align: 'right' as const }];

  it('are aligned, without spaces at the ends', () => {
    expect(tableText(headings, [['a', '10 GiB'], ['longer', '1 B']])).toBe('NAME      SIZE\na       10 GiB\nlonger     1 B');
  });
  it('cut the flexible column where the terminal is narrow, and no other', () => {
    const lines = tableText(headings, [['a-rather-long-name', '10 GiB']], 20).split('\n');
    expect(lines[1]).toBe('a-rather-lo…  10 GiB');
    expect(lines.every((line) => width(line) <= 20)).toBe(true);
  });
  it('count wide characters twice', () => {
    expect(width('虚拟机')).toBe(6);
    expect(cut('虚拟机-1', 5)).toBe('虚拟…');
    expect(tableText(headings, [['虚拟机', '1'], ['ab', '2']]).split('\n')[2]).toBe('ab         2');
  });
  it('never let a name speak to the terminal', () => {
    expect(visible('a\u001b[31mred\u202e')).toBe('a\\u{1b}[31mred\\u{202e}');
    expect(tableText(headings, [['\u001b]0;x\u0007', '1']])).not.toContain('\u001b');
  });
});

describe('results', () => {
  const look: Look = { format: 'table', columns: nouns.vm.columns, noun: 'vm', names: new Map([['host', new Map([['h1', 'host-1']])]]), width: Number.POSITIVE_INFINITY, nowMs: Date.parse('2026-11-22T11:00:00Z') };
  const vm = { id: 'v1', name: 'web-1', status: { state: 'running', hostId: 'h1' }, spec: { cpu: { cores: 2 }, memoryBytes: 2 ** 30, nics: [{ ip: '10.0.0.1' }, { ip: null }, { ip: '10.0.0.2' }] }, createdAt: '2026-11-22T10:00:00Z' };

  it('show names for ids, all addresses, sizes and ages', () => {
    expect(listText([vm], look).split('\n')[1]?.split(/ {2,}/)).toEqual(['web-1', 'running', 'host-1', '10.0.0.1,10.0.0.2', '2', '1 GiB', '1h']);
  });
  it('show an id whose name is unknown', () => {
    expect(cellOf(nouns.vm.columns[2]!, { status: { hostId: 'h9' } }, look)).toBe('h9');
  });
  it.each([['name', 'web-1'], ['id', 'v1']] as const)('-o %s is what other commands take', (format, text) => {
    expect(listText([vm], { ...look, format })).toBe(text);
  });
  it('-o json and yaml keep every member', () => {
    expect(JSON.parse(itemText(vm, { ...look, format: 'json' }, true))).toEqual(vm);
    expect(itemText(vm, { ...look, format: 'yaml' }, true)).toContain('hostId: h1');
  });
  it('show a whole object by its dotted members', () => {
    expect(itemText(vm, { ...look, columns: [] }, true)).toMatch(/^spec\.nics\.0\.ip +10\.0\.0\.1$/m);
    expect(itemText(vm, { ...look, columns: [] }, true)).toMatch(/^spec\.memoryBytes +1073741824 \(1 GiB\)$/m);
  });
  it('find values through lists', () => {
    expect(valuesAt({ a: [{ b: 1 }, {}, { b: 2 }] }, 'a[].b')).toEqual([1, 2]);
  });
});

describe('refusals', () => {
  it.each([['VM_BUSY', 409, exit.conflict], ['NOT_FOUND', 404, exit.notFound], ['UNAUTHENTICATED', 401, exit.notSignedIn], ['INVALID_ARGUMENT', 400, exit.usage], ['PERMISSION_DENIED', 403, exit.refused], ['RATE_LIMITED', 429, exit.unavailable], ['NO_CAPACITY', 507, exit.refused], ['FROM_THE_FUTURE', 409, exit.conflict], [undefined, 502, exit.unavailable]] as const)('%s (%d) ends with %d', (code, status, expected) => {
    expect(exitCodeOf(code, status)).toBe(expected);
  });
  it('have a meaning for every exit status', () => {
    expect(exitMeanings.map(({ code }) => code)).toEqual(Object.values(exit));
  });
  it.each([...allErrors.keys()])('%s says what to do next', (code) => {
    expect(problemLines({ code, detail: 'It went wrong.' }, 400).slice(1)).toEqual([expect.stringMatching(/^.{10,}$/)]);
  });
  it('advise only for codes that exist, and by commands that exist', () => {
    expect(Object.keys(advice).filter((code) => !allErrors.has(code))).toEqual([]);
    const known = new Set([...commandTree().map(({ words }) => words.join(' ')), 'get', 'login', 'passwd', 'image upload', 'task watch']);
    const named = Object.values(advice).flatMap((line) => [...line.matchAll(/tokctl (login|passwd|get|whoami|[a-z-]+ [a-z-]+)/g)].map(([, words]) => words!));
    expect(named.length).toBeGreaterThan(20);
    expect(named.filter((words) => !known.has(words))).toEqual([]);
  });
  it('say code, fields by their flags, what to do, and the trace', () => {
    const lines = problemLines({ code: 'VM_BUSY', detail: 'A task works on it.', details: { taskId: 't1', issues: [{ path: 'cpu.cores', message: 'too many' }] }, traceId: 'abc' }, 409, (path) => (path === 'cpu.cores' ? '--cpu.cores' : undefined));
    expect(lines).toEqual(['VM_BUSY: A task works on it.', '  --cpu.cores: too many', '  held by task t1: tokctl task watch t1', 'The same command may succeed later.', 'trace abc']);
  });
  it('name the flag that confirms what cannot be taken back', () => {
    const lines = problemLines({ code: 'CONFIRMATION_NEEDED', detail: 'The keys go.', details: { confirm: 'forgetTpmKeys' } }, 409, (path) => (path === 'forgetTpmKeys' ? '--forget-tpm-keys' : undefined));
    expect(lines.slice(1)).toEqual(['  confirm it: --forget-tpm-keys', expect.stringContaining('the option named above')]);
  });
});

describe('a task with children', () => {
  const step = (over: object) => ({ seq: 0, name: 'make-disks-and-ports', state: 'running', attempt: 1, startedAt: null, endedAt: null, error: null, children: [], ...over });
  const child = (name: string, over: object = {}) => ({ taskId: someId(), service: 'storage', kind: 'storage.volume.copy', object: { noun: 'volume', id: someId(), name }, state: 'running', step: 'copy-data', progress: null, waitsFor: null, ...over });
  const progress = { done: 512 * 2 ** 20, total: 2 ** 30, unit: 'bytes', ratePerSecond: 128 * 2 ** 20, remainingMs: 4_000 };

  it('says of each how far it is, and of all how fast', () => {
    const task = Task.parse(taskBody(someId(), 'waiting', 3, { kind: 'compute.vm.create', progress, waitsFor: { what: 'the task storage.volume.provision', holder: null, position: null, since: '2026-11-22T10:00:00.000Z' }, steps: [step({ children: [child('disk 0', { progress }), child('disk 1'), child('disk 2', { kind: null })] })] }));
    expect(logLine(task)).toBe('compute.vm.create web-1; waits for the task storage.volume.provision; disk 0: copy-data 50%, disk 1: copy-data; 50% 512 MiB of 1 GiB, 128 MiB/s, 4s left');
    expect(barLine(task, 200)).toMatch(/^\[#{12}\.{12}\] compute\.vm\.create web-1; 50% 512 MiB of 1 GiB, 128 MiB\/s, 4s left; waits for/);
  });
});

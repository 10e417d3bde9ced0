// What the host decides without touching anything: which commands it knows, which processes are its own.
import { describe, expect, test } from '@jest/globals';
import type { Probe } from '#contracts';
import { hostCommands } from '#contracts';
import { effectHappened, settle } from '../vm/recovery.ts';
import { parseStat } from '../vm/process-table.proc.ts';
import { unmanaged } from './adoption.ts';
import { isLasting, lastingCommands } from './host-commands.ts';
import { parseCpuTicks, parseMemoryUsed } from './inventory.proc.ts';

describe('every host command', () => {
  const probed = new Set<Probe>(['qemu-process', 'vm-directory', 'file', 'switch']);
  /** Written in pieces that may be sent any number of times: it has no command id, and needs no probe. */
  const repeatable = new Set(['upload.write']);

  test.each(hostCommands.map((command) => [command.name, command] as const))('%s can be probed after a crash, or leaves nothing behind', (name, command) => {
    const hasId = 'commandId' in command.input.shape;
    const lasting = command.probe !== 'read-only' && !repeatable.has(name);
    expect(hasId).toBe(lasting);
    if (!lasting) return;
    expect(probed.has(command.probe)).toBe(true);
    const probe = command.actor === 'vm' ? Object.entries(effectHappened).find(([known]) => known === name)?.[1] : isLasting(name) ? lastingCommands[name].happened.bind(null) : undefined;
    expect(typeof probe).toBe('function');
  });
});

describe('after a crash', () => {
  const process = { pid: 1, startTicks: 1, startedAt: '' };
  const open = [{ commandId: 's', name: 'vm.start' as const }, { commandId: 'p', name: 'vm.power-off' as const }];
  test.each([
    ['running', { finding: { kind: 'running' as const, process, detail: null }, document: null }, { done: ['s'], dropped: ['p'] }],
    ['gone', { finding: { kind: 'none' as const }, document: null }, { done: ['p'], dropped: ['s'] }],
    ['silent', { finding: { kind: 'silent' as const, process, detail: '' }, document: null }, { done: [], dropped: [] }],
  ])('what is %s decides what happened', (_what, evidence, expected) => {
    expect(settle(open, { ...evidence, devices: [], ending: null }, () => ({}))).toEqual(expected);
  });
});

test('a resume whose guest is gone counts as done, as nobody can tell that it was not', () => {
  const open = [{ commandId: 'r', name: 'vm.resume' as const }, { commandId: 'p', name: 'vm.pause' as const }];
  expect(settle(open, { finding: { kind: 'none' }, devices: [], ending: null, document: null }, () => ({}))).toEqual({ done: ['r'], dropped: ['p'] });
});

describe('processes', () => {
  const qemu = (pid: number, ...argv: string[]) => ({ pid, argv: ['/usr/bin/qemu-system-x86_64', ...argv] });
  test('what is not a kept VM’s own process is unmanaged', () => {
    const seen = [qemu(1, '-uuid', 'a'), qemu(2, '-name', 'guest=other,process=x', '-uuid', 'b'), qemu(3), qemu(4, '-uuid', 'a')];
    expect(unmanaged(seen, [{ vmId: 'a', pid: 1 }]).map(({ pid, uuid, name }) => ({ pid, uuid, name }))).toEqual([
      { pid: 2, uuid: 'b', name: 'other' }, { pid: 3, uuid: null, name: null }, { pid: 4, uuid: 'a', name: null },
    ]);
  });
  test('a process name with spaces and brackets does not shift the fields', () => {
    const fields = ['Z', ...Array.from({ length: 18 }, (_, n) => String(n)), '4242', '0'];
    expect(parseStat(`17 (a) b (c) ${fields.join(' ')}`)).toEqual({ state: 'Z', startTicks: 4242 });
  });
  test('use is read off the kernel’s counters', () => {
    expect(parseCpuTicks('cpu  10 0 20 60 10 0 0 0 0 0\ncpu0 …')).toEqual({ busy: 30, total: 100 });
    expect(parseMemoryUsed('MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:   400 kB\n')).toBe(600 * 1024);
  });
});

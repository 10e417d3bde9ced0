// The UEFI variables of a VM on their volume: real firmware in real QEMU, on two hosts, and what is refused.
import { afterEach, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync, readSync, statSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { hostVmStart } from '#contracts';
import type { HostVmSpec } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import { until } from '#testing';
import { AgentLab, qemuPidsOf, smallVm } from './agent-lab.fixture.ts';
import { hasVariable, withVariable } from './uefi-variable.fixture.ts';
import { headerBytes, offsetOf } from './vm/uefi-vars.ts';
import type { UefiFirmware } from './vm/uefi-vars.ts';

jest.setTimeout(60_000);

let lab: AgentLab;
beforeEach(async () => {
  lab = await AgentLab.open();
  await lab.start();
});
afterEach(() => lab.close());

const brought = readFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd');
const fileOf = ({ uefiVars }: HostVmSpec): string => join(uefiVars!.datastorePath, uefiVars!.relativePath);
function varsOf(vm: HostVmSpec, firmware: UefiFirmware = 'uefi'): Buffer {
  const file = openSync(fileOf(vm), 'r');
  const bytes = Buffer.alloc(brought.length);
  readSync(file, bytes, 0, bytes.length, offsetOf(firmware));
  closeSync(file);
  return bytes;
}
function setVars(vm: HostVmSpec, bytes: Buffer, at = 0): void {
  const file = openSync(fileOf(vm), 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}
const start = (spec: HostVmSpec, epoch = 1, on = lab) => on.ask(hostVmStart, { commandId: newUuid(), vmId: spec.vmId, epoch, spec, paused: false }, 20_000);
const runs = async (spec: HostVmSpec, epoch = 1, on = lab): Promise<void> => { expect(orThrow(await start(spec, epoch, on))).toMatchObject({ state: 'running' }); };

describe('UEFI variables', () => {
  test('begin as the firmware brings them, are the VM’s own file, and keep what the firmware and the guest write, on another host too', async () => {
    const vm = lab.uefiVm(301);
    await runs(vm);
    expect(statSync(fileOf(vm))).toMatchObject({ uid: vm.uid });
    expect(statSync(fileOf(vm)).mode & 0o777).toBe(0o600);
    await until('the firmware has written of its own', () => !varsOf(vm).equals(brought), 40_000);
    await lab.powerOff(vm.vmId);
    expect(varsOf(vm).subarray(0, headerBytes)).toEqual(brought.subarray(0, headerBytes));
    setVars(vm, withVariable(varsOf(vm), 'OfTheGuest'));

    const before = varsOf(vm);
    const other = await AgentLab.open();
    try {
      await other.start();
      await runs(vm, 2, other);
      await until('the firmware there has written too', () => !varsOf(vm).equals(before), 40_000);
      await other.powerOff(vm.vmId, 2);
      expect(hasVariable(varsOf(vm), 'OfTheGuest')).toBe(true);
    } finally {
      await other.close();
    }
  });

  test('are apart for each kind of firmware, and a change between them loses none', async () => {
    const vm = lab.uefiVm(302);
    await runs(vm);
    await lab.powerOff(vm.vmId);
    setVars(vm, withVariable(varsOf(vm), 'Kept'));
    for (const [index, firmware] of (['uefi-secure', 'bios', 'uefi'] as const).entries()) {
      await runs({ ...vm, firmware }, index + 2);
      await lab.powerOff(vm.vmId, index + 2);
    }
    expect([varsOf(vm).includes('Microsoft'), hasVariable(varsOf(vm), 'Kept')]).toEqual([false, true]);
    expect([varsOf(vm, 'uefi-secure').includes('Microsoft'), hasVariable(varsOf(vm, 'uefi-secure'), 'Kept')]).toEqual([true, false]);
  });

  test('that an older agent kept in the VM’s directory are gone on with', async () => {
    const vm = lab.uefiVm(303);
    const kept = join(lab.vmDir(vm.vmId), 'run', 'uefi-vars.fd');
    mkdirSync(dirname(kept), { recursive: true });
    writeFileSync(kept, withVariable(brought, 'FromBefore'));
    await runs(vm);
    expect(hasVariable(varsOf(vm), 'FromBefore')).toBe(true);
    await lab.powerOff(vm.vmId);
  });

  test.each([
    ['of another size', (path: string) => { writeFileSync(path, Buffer.alloc(4_096)); }], ['a link', (path: string) => { symlinkSync('/usr/share/OVMF/OVMF_VARS_4M.ms.fd', path); }],
    ['a pipe', (path: string) => { execFileSync('mkfifo', [path]); }],
  ])('are those of the firmware where what was kept is %s', async (_what, put) => {
    const vm = lab.uefiVm(305);
    const kept = join(lab.vmDir(vm.vmId), 'run', 'uefi-vars.fd');
    mkdirSync(dirname(kept), { recursive: true });
    put(kept);
    await runs(vm);
    expect([varsOf(vm).subarray(0, headerBytes).equals(brought.subarray(0, headerBytes)), varsOf(vm).includes('Microsoft')]).toEqual([true, false]);
    await lab.powerOff(vm.vmId);
  });

  test('whose beginning was cut off are begun once more: their header is written last', async () => {
    const vm = lab.uefiVm(304);
    setVars(vm, Buffer.alloc(4_096, 0x5a), headerBytes);
    await runs(vm);
    expect(varsOf(vm).subarray(0, headerBytes)).toEqual(brought.subarray(0, headerBytes));
    expect(varsOf(vm).includes(Buffer.alloc(256, 0x5a))).toBe(false);
    await lab.powerOff(vm.vmId);
  });
});

describe('a start with UEFI is refused, and leaves nothing', () => {
  const refused = async (vm: HostVmSpec, words: string): Promise<void> => {
    const answer = await start(vm);
    expect(answer.ok ? 'ok' : answer.fault.detail).toContain(words);
    expect(qemuPidsOf(lab.dir)).toEqual([]);
  };

  test('when the variables are damaged: whatever is there is left', async () => {
    const vm = lab.uefiVm(311);
    setVars(vm, Buffer.from('not variables'));
    await refused(vm, 'damaged');
    expect(varsOf(vm).toString('latin1', 0, 13)).toBe('not variables');
  });

  test('when they were written by a firmware of another size', async () => {
    const vm = lab.uefiVm(312);
    const smaller = Buffer.from(brought.subarray(0, headerBytes));
    smaller.writeBigUInt64LE(131_072n, 32);
    setVars(vm, smaller);
    await refused(vm, 'a firmware of another size');
  });

  test('when there is no volume for them', () => refused(smallVm(313, { firmware: 'uefi' }), 'UEFI needs a volume for its variables'));
});

// The argument vector: golden for typical VMs, and safe for any document the contract lets through.
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { HostVmSpec } from '#contracts';
import { commandLine } from './command-line.ts';
import type { CommandLineInput } from './command-line.ts';

const id = (n: number): string => `01890000-0000-7000-8000-${String(n).padStart(12, '0')}`;
const place = (n: number, format = 'qcow2', datastorePath = '/srv/ds') => ({ volumeId: id(n), datastoreId: id(90), datastorePath, relativePath: `volumes/${id(n)}.${format}`, format });
const nic = (slot: number) => ({
  nicId: id(50 + slot), slot, portId: id(60 + slot), portGroupId: id(70), switchId: id(80), mac: `52:54:00:00:00:0${slot}`, vlan: 10, mtu: 1500, ip: '10.0.0.5', subnet: null, bootIndex: null,
});
const spec = (more: object = {}): HostVmSpec => HostVmSpec.parse({
  vmId: id(1), name: 'n', uid: 200_001, cpu: { sockets: 1, cores: 2, threads: 1 }, cpuModel: 'max', cpuService: {}, memoryBytes: 256 * 1024 * 1024, memoryService: {}, firmware: 'bios', disks: [], nics: [], ...more,
});
const input = (of: HostVmSpec, more: Partial<CommandLineInput> = {}): CommandLineInput => ({
  spec: of, accelerator: 'tcg', datapath: 'netdev', ports: new Map(of.nics.map(({ nicId, slot }) => [nicId, `tap${slot}`])), directDisks: new Set(), uefiCode: '/fw/code.fd', secureCode: '/fw/secure.fd', hasTpm: true, nowMs: Date.UTC(2026, 0, 1), paused: false, saved: null,
  paths: { qmp: '/v/qmp.sock', people: '/v/hmp.sock', guestAgent: '/v/qga.sock', serial: '/v/ser.sock', console: '/v/console.log', vnc: '/v/vnc.sock', tpm: '/v/tpm.sock', }, uefiVars: of.firmware === 'bios' ? null : { path: '/ds/vars.raw', offset: of.firmware === 'uefi' ? 0 : 1_048_576, size: 540_672 }, ...more,
});
const argv = (of: HostVmSpec, more: Partial<CommandLineInput> = {}): string[] => {
  const made = commandLine(input(of, more));
  if (!made.ok) throw new Error(made.fault.detail);
  return made.value;
};
/** Options with their values, one a line: what a person compares. */
const readable = (args: readonly string[]): string => args.join('\n').replace(/\n(?!-)/g, ' ');

describe('firmware and clock', () => {
  const parts = (of: HostVmSpec, more?: Partial<CommandLineInput>): string => readable(argv(of, more));
  test('secure boot takes its own code and variables, and the mode in which alone they are written', () => {
    const secure = parts(spec({ firmware: 'uefi-secure' }));
    for (const part of ['smm=on', '/fw/secure.fd', '"offset":1048576,"size":540672,"file":{"driver":"file","filename":"/ds/vars.raw"}', 'driver=cfi.pflash01,property=secure,value=on']) expect(secure).toContain(part);
    const plain = parts(spec({ firmware: 'uefi' }));
    expect(plain).toContain('"offset":0,"size":540672');
    expect(plain).not.toContain('smm=on');
    expect(parts(spec())).not.toContain('pflash');
    expect(commandLine(input(spec({ firmware: 'uefi-secure' }), { secureCode: null }))).toMatchObject({ ok: false, fault: { details: { issues: [{ path: 'firmware' }] } } });
    expect(commandLine(input(spec({ firmware: 'uefi' }), { uefiVars: null }))).toMatchObject({ ok: false, fault: { details: { issues: [{ path: 'uefiVars' }] } } });
  });
  test.each([[{}, 'utc'], [{ base: 'localtime' }, 'localtime'], [{ offsetSeconds: 3600 }, '2026-01-01T01:00:00'], [{ offsetSeconds: -3600 }, '2025-12-31T23:00:00']])('a clock of %j begins at %s', (clock, base) => {
    expect(parts(spec({ clock }))).toContain(`-rtc base=${base}\n`);
  });
});

describe('a TPM', () => {
  const withTpm = spec({ firmware: 'uefi-secure', tpm: place(30, 'raw') });
  test('is reached by its socket; its volume is nothing of QEMU’s', () => {
    const args = readable(argv(withTpm));
    for (const part of ['-chardev socket,id=tpm,path=/v/tpm.sock\n', '-tpmdev emulator,id=tpm,chardev=tpm\n', '"tpm-crb"']) expect(args).toContain(part);
    expect(args).not.toContain(id(30));
    expect(readable(argv(spec({ firmware: 'uefi' })))).not.toContain('tpm');
  });
  test.each([[spec({ tpm: place(30, 'raw') }), {}], [withTpm, { hasTpm: false }]])('is refused where nothing would come of it', (of, more) => {
    expect(commandLine(input(of, more))).toMatchObject({ ok: false, fault: { details: { issues: [{ path: 'tpm' }] } } });
  });
});

describe('golden', () => {
  test('BIOS, one virtio disk, one NIC on the userspace datapath', () => {
    const vm = spec({ disks: [{ diskId: id(10), slot: 0, bus: 'virtio', place: place(20), readOnly: false, bootIndex: 1 }], nics: [nic(0)] });
    expect(readable(argv(vm, { directDisks: new Set([id(10)]) }))).toMatchSnapshot();
  });
  test('UEFI, SCSI and SATA disks, two NICs on the kernel datapath, KVM, started paused', () => {
    const disk = (n: number, bus: string, format: string) => ({ diskId: id(10 + n), slot: n, bus, place: place(20 + n, format), readOnly: n === 1, bootIndex: null });
    const vm = spec({ firmware: 'uefi', disks: [disk(0, 'scsi', 'raw'), disk(1, 'sata', 'qcow2')], nics: [nic(0), { ...nic(1), mtu: 9000, bootIndex: 1 }] });
    expect(readable(argv(vm, { accelerator: 'kvm', datapath: 'system', paused: true }))).toMatchSnapshot();
  });
});

describe('safety', () => {
  test('whatever a VM is called, its name is nowhere in the arguments', () => {
    fc.assert(fc.property(fc.string({ minLength: 12 }), (name) => {
      expect(argv(spec({ name }))).toEqual(argv(spec({ name: 'other' })));
    }));
  });
  test('a path with commas, quotes and options in it stays one value', () => {
    const hostile = '/srv/a,b",driver=nbd,server=on {x} -monitor stdio';
    const vm = spec({ disks: [{ diskId: id(10), slot: 0, bus: 'virtio', place: place(20, 'raw', hostile), readOnly: false, bootIndex: null }] });
    const args = argv(vm);
    const node: unknown = JSON.parse(args[args.indexOf('-blockdev') + 1]!);
    expect(node).toMatchObject({ driver: 'raw', file: { driver: 'file', filename: `${hostile}/volumes/${id(20)}.raw` } });
    expect(args.filter((argument) => argument === '-monitor')).toEqual([]);
  });
  test('every path in QEMU’s comma syntax is escaped', () => {
    const { paths } = input(spec());
    const args = argv(spec(), { paths: Object.fromEntries(Object.keys(paths).map((name) => [name, `/d,id=x/${name}`])) as unknown as CommandLineInput['paths'] });
    expect(args.filter((argument) => /(^|[^,]),id=x/.test(argument))).toEqual([]);
  });
  test('the sandbox is on, defaults are off, and nothing listens on TCP', () => {
    const args = argv(spec());
    expect(args[args.indexOf('-sandbox') + 1]).toBe('on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny');
    expect(args).toEqual(expect.arrayContaining(['-nodefaults', '-no-user-config', '-no-shutdown']));
    expect(args.join(' ')).not.toMatch(/tcp:|share-rw|locking/);
  });
});

describe('refusals', () => {
  const sata = (slot: number, n = slot) => ({ diskId: id(10 + n), slot, bus: 'sata', place: place(20 + n), readOnly: false, bootIndex: null });
  test.each([
    ['two disks in one slot', spec({ disks: [sata(0, 1), sata(0, 2)] }), 'two disks are in slot sata 0'],
    ['a SATA slot that q35 does not have', spec({ disks: [sata(6)] }), 'SATA has the slots 0 to 5'],
    ['two NICs in one slot', spec({ nics: [nic(0), { ...nic(1), slot: 0 }] }), 'two NICs are in slot 0'],
  ])('%s', (_what, vm, text) => {
    const made = commandLine(input(vm));
    expect(made).toMatchObject({ ok: false, fault: { code: 'INVALID_ARGUMENT' } });
    expect(made.ok ? '' : made.fault.detail).toContain(text);
  });
  test('a NIC without port', () => {
    expect(commandLine(input(spec({ nics: [nic(0)] }), { ports: new Map() }))).toMatchObject({ ok: false });
  });
});

// A VM's document becomes QEMU's argument vector. Pure: the same document, ports and paths give the same arguments on
// every host. Ids go in, names never do, and no value can become part of another option.
import type { HostDisk, HostNic, HostVmSpec, SavedMemory } from '#contracts';
import { InvalidArgument } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { Datapath } from '../drivers.ts';
import type { UefiFlash } from './uefi-vars.store.ts';

export interface VmPaths {
  readonly qmp: string;
  /** A second monitor, for people. */
  readonly people: string;
  readonly guestAgent: string;
  readonly serial: string;
  /** What the serial console has written. */
  readonly console: string;
  readonly vnc: string;
  readonly tpm: string;
}

export interface CommandLineInput {
  readonly spec: HostVmSpec;
  readonly accelerator: 'kvm' | 'tcg';
  readonly datapath: Datapath;
  /** Tap device per nicId. */
  readonly ports: ReadonlyMap<string, string>;
  /** Disks (diskId) whose file system takes O_DIRECT. */
  readonly directDisks: ReadonlySet<string>;
  readonly paths: VmPaths;
  readonly uefiCode: string;
  /** Null where no firmware for secure boot is installed. */
  readonly secureCode: string | null;
  /** The variables of the VM's UEFI; null = it has a BIOS. */
  readonly uefiVars: UefiFlash | null;
  /** The host can give a VM a TPM. */
  readonly hasTpm: boolean;
  /** Now, for a clock that stands beside UTC, ms. */
  readonly nowMs: number;
  readonly paused: boolean;
  /** What a memory that will be loaded was saved from. */
  readonly saved: SavedMemory | null;
}

export const guestAgentChardev = 'guest-agent';
/** Slots that are kept plugged for later, so that a hot-plug finds a port: q35 makes none while it runs. */
const spareDisks = 4;
const spareNics = 2;
const sataPorts = 6;
const MiB = 1024 * 1024;
const sandbox = 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny';

/** Guest TCP is dead with these on Open vSwitch's userspace datapath, although ping and DHCP work. */
const offloads = ['csum', 'gso', 'guest_csum', 'guest_tso4', 'guest_tso6', 'guest_ecn', 'guest_ufo', 'host_tso4', 'host_tso6', 'host_ecn', 'host_ufo'];
const withoutOffloads = Object.fromEntries(offloads.map((name) => [name, false]));

/** QEMU's option syntax ends a value at a comma; two commas stand for one. */
const escaped = (value: string): string => value.replaceAll(',', ',,');
const device = (value: object): string[] => ['-device', JSON.stringify(value)];
const blockdev = (value: object): string[] => ['-blockdev', JSON.stringify(value)];

/** Arguments behind the program's name; INVALID_ARGUMENT when QEMU cannot be given this VM. */
export function commandLine(input: CommandLineInput): Result<string[]> {
  const issues = issuesOf(input);
  if (issues[0]) return InvalidArgument.fail(`QEMU cannot be given this VM: ${issues[0].path}: ${issues[0].message}.`, { issues });
  const { spec, paths, paused } = input;
  return ok([
    '-name', `guest=${spec.vmId},process=tok-${spec.vmId},debug-threads=on`,
    '-uuid', spec.vmId,
    // -no-shutdown: a guest that ends while the agent is away waits, so that the reason is not lost.
    '-nodefaults', '-no-user-config', '-no-shutdown',
    '-sandbox', sandbox,
    '-machine', machine(input),
    '-cpu', spec.cpuModel,
    '-smp', smp(spec),
    '-m', `size=${spec.memoryBytes / MiB}M`,
    '-rtc', `base=${clockBase(input)}`,
    '-boot', 'strict=on',
    '-display', 'none',
    // Whoever opens a console joins: a viewer that asks to be alone neither throws the others out nor is refused.
    '-vnc', `unix:${escaped(paths.vnc)},share=ignore`,
    ...(paused ? ['-S'] : []),
    ...uefi(input),
    ...sockets(paths),
    ...platformDevices(),
    ...tpm(input),
    ...rootPorts(input.saved?.rootPorts ?? portsFor(spec)),
    ...disks(input),
    ...spec.nics.flatMap((nic) => nicArguments(nic, input)),
  ]);
}

interface Issue { readonly path: string; readonly message: string }

/** Only a clock beside UTC needs a date; the others go on with the host's. */
function clockBase({ spec: { clock }, nowMs }: CommandLineInput): string {
  if (clock.offsetSeconds === 0) return clock.base;
  return new Date(nowMs + clock.offsetSeconds * 1000).toISOString().slice(0, 19);
}

function issuesOf({ spec, ports, secureCode, uefiVars, hasTpm }: CommandLineInput): Issue[] {
  const issue = (path: string, message: string): Issue => ({ path, message });
  const diskSlots = spec.disks.map(({ bus, slot }) => `${bus} ${slot}`);
  const nicSlots = spec.nics.map(({ slot }) => String(slot));
  return [
    ...twice(diskSlots).map((slot) => issue('disks', `two disks are in slot ${slot}`)),
    ...twice(nicSlots).map((slot) => issue('nics', `two NICs are in slot ${slot}`)),
    ...spec.disks.filter(({ bus, slot }) => bus === 'sata' && slot >= sataPorts).map(({ slot }) => issue('disks', `SATA has the slots 0 to ${sataPorts - 1}, not ${slot}`)),
    ...(spec.firmware !== 'bios' && uefiVars === null ? [issue('uefiVars', 'UEFI needs a volume for its variables')] : []),
    ...(spec.firmware === 'uefi-secure' && secureCode === null ? [issue('firmware', 'the host has no firmware for secure boot')] : []),
    ...(spec.tpm !== null && spec.firmware === 'bios' ? [issue('tpm', 'a TPM needs UEFI')] : []),
    ...(spec.tpm !== null && !hasTpm ? [issue('tpm', 'the host has no swtpm')] : []),
    ...spec.nics.filter(({ nicId }) => !ports.has(nicId)).map(({ nicId }) => issue('nics', `NIC ${nicId} has no port`)),
  ];
}

const twice = (all: readonly string[]): string[] => all.filter((one, index) => all.indexOf(one) !== index);

function machine({ accelerator, spec, saved }: CommandLineInput): string {
  const flash = spec.firmware === 'bios' ? '' : ',pflash0=uefi-code,pflash1=uefi-vars';
  // Secure boot needs SMM: only there may the variables be written.
  const smm = spec.firmware === 'uefi-secure' ? ',smm=on' : '';
  return `${saved?.machine ?? 'q35'},accel=${accelerator},usb=off,vmport=off,dump-guest-core=off${smm}${flash}`;
}

function smp({ cpu }: HostVmSpec): string {
  const cpus = cpu.sockets * cpu.cores * cpu.threads;
  return `cpus=${cpus},maxcpus=${cpus},sockets=${cpu.sockets},cores=${cpu.cores},threads=${cpu.threads}`;
}

function uefi({ spec, uefiVars, uefiCode, secureCode }: CommandLineInput): string[] {
  if (spec.firmware === 'bios' || uefiVars === null) return [];
  const secure = spec.firmware === 'uefi-secure';
  const { path, offset, size } = uefiVars;
  return [
    ...blockdev({ driver: 'raw', 'node-name': 'uefi-code', 'read-only': true, file: { driver: 'file', filename: secure ? secureCode ?? '' : uefiCode } }),
    ...blockdev({ driver: 'raw', 'node-name': 'uefi-vars', 'read-only': false, offset, size, file: { driver: 'file', filename: path } }),
    ...(secure ? ['-global', 'driver=cfi.pflash01,property=secure,value=on', '-global', 'ICH9-LPC.disable_s3=1'] : []),
  ];
}

function sockets(paths: VmPaths): string[] {
  const server = (id: string, path: string, more = ''): string[] => ['-chardev', `socket,id=${id},path=${escaped(path)},server=on,wait=off${more}`];
  return [
    ...server('qmp', paths.qmp), '-mon', 'chardev=qmp,mode=control',
    ...server('people', paths.people), '-mon', 'chardev=people,mode=readline',
    ...server('serial', paths.serial, `,logfile=${escaped(paths.console)},logappend=on`), '-serial', 'chardev:serial',
    ...server(guestAgentChardev, paths.guestAgent),
  ];
}

/** QEMU's end of a TPM that is a process of its own; it connects once and ends with that connection. */
function tpm({ spec, paths }: CommandLineInput): string[] {
  if (spec.tpm === null) return [];
  return ['-chardev', `socket,id=tpm,path=${escaped(paths.tpm)}`, '-tpmdev', 'emulator,id=tpm,chardev=tpm', ...device({ driver: 'tpm-crb', id: 'tpm-device', tpmdev: 'tpm' })];
}

function platformDevices(): string[] {
  return [
    ...device({ driver: 'VGA', id: 'video', bus: 'pcie.0', addr: '0x1' }),
    ...device({ driver: 'virtio-serial-pci', id: 'virtio-serial', bus: 'pcie.0', addr: '0x2' }),
    ...device({ driver: 'virtserialport', bus: 'virtio-serial.0', nr: 1, chardev: guestAgentChardev, name: 'org.qemu.guest_agent.0', id: 'guest-agent-port' }),
    '-object', JSON.stringify({ 'qom-type': 'rng-random', id: 'entropy', filename: '/dev/urandom' }),
    ...device({ driver: 'virtio-rng-pci', rng: 'entropy', id: 'rng', bus: 'pcie.0', addr: '0x3' }),
    ...device({ driver: 'virtio-balloon-pci', id: 'balloon', bus: 'pcie.0', addr: '0x4', 'free-page-reporting': true }),
    ...device({ driver: 'pvpanic', id: 'panic' }),
  ];
}

/** Ids of what a disk and a NIC are in QEMU: by slot, so that one slot never holds two. */
export const diskDeviceId = ({ bus, slot }: Pick<HostDisk, 'bus' | 'slot'>): string => `disk-${bus}-${slot}`;
export const nicDeviceId = ({ slot }: Pick<HostNic, 'slot'>): string => `nic-${slot}`;
export const isNicDevice = (deviceId: string): boolean => /^nic-\d+$/.test(deviceId);
export const netdevId = ({ slot }: Pick<HostNic, 'slot'>): string => `net-${slot}`;
/** The device into which one of this bus and slot is plugged. */
export const plugOf = ({ bus, slot }: Pick<HostDisk, 'bus' | 'slot'>): string => (bus === 'virtio' ? diskPort(slot) : bus);
export const nicPort = (slot: number): string => `nic-port-${slot}`;
const diskPort = (slot: number): string => `disk-port-${slot}`;
/** Root ports lie at fixed addresses, NIC slots before disk slots, so that a guest sees a device where it was before. */
const firstDiskPort = 16;
const firstPortDevice = 0x10;

/** Indexes of the ports of a fresh start. */
function portsFor(spec: HostVmSpec): number[] {
  const nics = withSpares(spec.nics.map(({ slot }) => slot), spareNics, 16);
  const disks = withSpares(spec.disks.filter(({ bus }) => bus === 'virtio').map(({ slot }) => slot), spareDisks, 64).map((slot) => slot + firstDiskPort);
  const wanted = new Set([...nics, ...disks]);
  // Function 0 must be there for the others of its device to be seen.
  for (const index of [...wanted]) wanted.add(index - (index % 8));
  return [...wanted].sort((a, b) => a - b);
}

const portId = (index: number): string => (index < firstDiskPort ? nicPort(index) : diskPort(index - firstDiskPort));

/** The index of the port that has this id in QEMU; undefined for another device. */
export function rootPortIndex(deviceId: string): number | undefined {
  const [, kind, slot] = /^(nic|disk)-port-(\d+)$/.exec(deviceId) ?? [];
  return kind === undefined ? undefined : Number(slot) + (kind === 'disk' ? firstDiskPort : 0);
}

const rootPorts = (indexes: readonly number[]): string[] => indexes.flatMap((index) => device({
  driver: 'pcie-root-port', id: portId(index), bus: 'pcie.0', chassis: index + 1,
  addr: `0x${(firstPortDevice + Math.floor(index / 8)).toString(16)}.0x${index % 8}`, multifunction: index % 8 === 0, 'io-reserve': 0,
}));

function withSpares(used: readonly number[], spares: number, limit: number): number[] {
  const free = Array.from({ length: limit }, (_, slot) => slot).filter((slot) => !used.includes(slot));
  return [...used, ...free.slice(0, spares)];
}

function disks({ spec, directDisks }: CommandLineInput): string[] {
  const scsi = spec.disks.some(({ bus }) => bus === 'scsi') ? device({ driver: 'virtio-scsi-pci', id: 'scsi', bus: 'pcie.0', addr: '0x5' }) : [];
  return [...scsi, ...spec.disks.flatMap((disk) => diskArguments(disk, directDisks.has(disk.diskId)))];
}

/** `/dev/disk/by-id` of the guest; virtio takes 20 characters, the last ones of a UUIDv7 are its random ones. */
const serialOf = (diskId: string): string => diskId.replaceAll('-', '').slice(-20);

function diskArguments(disk: HostDisk, direct: boolean): string[] {
  const parts = diskParts(disk, direct);
  return [...blockdev(parts.node), ...device(parts.device)];
}

/** The block node and the device of a disk, on the command line and for a hot-plug alike. */
export function diskParts(disk: HostDisk, direct: boolean): { node: Record<string, unknown>; device: Record<string, unknown> } {
  const node = diskDeviceId(disk);
  const shared = { 'read-only': disk.readOnly, cache: { direct, 'no-flush': false }, discard: 'unmap' };
  const filename = `${disk.place.datastorePath.replace(/\/+$/, '')}/${disk.place.relativePath}`;
  return {
    node: { driver: disk.place.format, 'node-name': node, ...shared, file: { driver: 'file', filename, ...shared, aio: 'threads' } },
    device: { ...diskDevice(disk), drive: node, id: node, serial: serialOf(disk.diskId), ...(disk.bootIndex === null ? {} : { bootindex: disk.bootIndex }) },
  };
}

function diskDevice({ bus, slot }: HostDisk): object {
  if (bus === 'virtio') return { driver: 'virtio-blk-pci', bus: diskPort(slot), 'write-cache': 'on' };
  if (bus === 'scsi') return { driver: 'scsi-hd', bus: 'scsi.0', channel: 0, 'scsi-id': 0, lun: slot };
  return { driver: 'ide-hd', bus: `ide.${slot}` };
}

function nicArguments(nic: HostNic, { ports, datapath }: CommandLineInput): string[] {
  const parts = nicParts(nic, ports.get(nic.nicId) ?? '', datapath);
  return ['-netdev', JSON.stringify(parts.netdev), ...device(parts.device)];
}

/** The backend and the device of a NIC, on the command line and for a hot-plug alike. */
export function nicParts(nic: HostNic, ifname: string, datapath: Datapath): { netdev: Record<string, unknown>; device: Record<string, unknown> } {
  return {
    netdev: { type: 'tap', id: netdevId(nic), ifname, script: 'no', downscript: 'no', vhost: false },
    device: {
      driver: 'virtio-net-pci', id: nicDeviceId(nic), netdev: netdevId(nic), mac: nic.mac, bus: nicPort(nic.slot),
      ...(nic.mtu === 1500 ? {} : { host_mtu: nic.mtu }),
      ...(datapath === 'netdev' ? withoutOffloads : {}),
      // The option ROM exists to boot from the network; elsewhere it only costs time.
      ...(nic.bootIndex === null ? { romfile: '' } : { bootindex: nic.bootIndex }),
    },
  };
}

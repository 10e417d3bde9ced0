// From a VM's document to a QEMU that runs: disks, taps and cgroup first, then the process and its monitor while the switch
// gets its ports. Fails with a fault that says which of these did not work, and leaves no process behind when it does.
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostDisk, HostVmSpec, VolumePlace } from '#contracts';
import { QemuFailed } from '#contracts';
import type { Failed, Result } from '#kernel';
import { allEnded, failed, ok } from '#kernel';
import type { AgentEnvironment } from '../environment.ts';
import { faultPoint } from '../fault-point.ts';
import { MonitorError, startFailure } from '../qmp/errors.ts';
import { commandLine } from './command-line.ts';
import { JobFailed, loadMemory } from './memory.process.ts';
import type { Memory } from './vm.ts';
import { launch } from './launch.process.ts';
import { startedAt, startTicksOf } from './process-table.proc.ts';
import { QemuProcess } from './qemu.process.ts';
import type { QemuEvents } from './qemu.process.ts';
import { startTpm } from './tpm.process.ts';
import { beginVars, flashOf } from './uefi-vars.store.ts';
import type { VmDirectory } from './vm-directory.store.ts';

export interface StartInput {
  readonly environment: AgentEnvironment;
  readonly directory: VmDirectory;
  readonly spec: HostVmSpec;
  readonly epoch: number;
  readonly paused: boolean;
  /** A memory to load; the VM is then paused, whatever `paused` says. */
  readonly memory: Memory | null;
  readonly events: QemuEvents;
  readonly signal: AbortSignal;
}

/** On a host that has too much to do, or reads its images slowly, QEMU takes long to come to its first answer; one that ends is noticed at once. */
const monitorLimitMs = 60_000;

export async function startVm(input: StartInput): Promise<Result<QemuProcess>> {
  const prepared = await prepare(input);
  if (!prepared.ok) return prepared;
  // Firmware takes longer to send a first packet than the ports take to be there; a VM is running when both are. A port that is
  // still being made must not outlast its VM's start.
  const [running, ports] = await allEnded(run(input, prepared.value), plug(input));
  if (!running.ok) return running;
  // Its end while the ports were made was told to nobody: until here the VM is one that starts.
  if (ports.ok) return (await running.value.alive()) ? running : neverRan(input.directory);
  await running.value.end(false);
  return ports;
}

async function plug({ environment: { drivers }, spec }: StartInput): Promise<Result<void>> {
  const ports = await Promise.all(spec.nics.map((nic) => drivers.switches.attach(spec.vmId, nic, spec.uid)));
  return ports.find((port) => !port.ok) ?? ok(undefined);
}

async function run(input: StartInput, { argv, cgroups }: Prepared): Promise<Result<QemuProcess>> {
  const { environment: { qemu, identity }, directory, spec, epoch, signal } = input;
  await directory.writeDocument({ epoch, spec, argv: [qemu.program, ...argv], saved: null });
  if (signal.aborted) return givenUp();
  await faultPoint('vm.start:prepared', spec.vmId);
  const tpm = await tpmFirst(input, cgroups);
  if (!tpm.ok) return tpm;
  const groups = [identity.templateGid, ...(qemu.accelerator === 'kvm' && qemu.kvmGid !== null ? [qemu.kvmGid] : [])];
  const launched = await launch({ pidFile: directory.pidFile, openLog: () => directory.openQemuLog(), program: qemu.program, argv, uid: spec.uid, groups, cgroups });
  await faultPoint('vm.start:launched', spec.vmId);
  const startTicks = await startTicksOf(launched.pid);
  if (startTicks === null) return neverRan(directory);
  const process = { pid: launched.pid, startTicks, startedAt: await startedAt(startTicks) };
  const running = new QemuProcess(spec.vmId, process, directory.paths.qmp, launched.ended, input.events, () => directory.readQemuLog());
  return takeOver(running, input);
}

/** QEMU connects to its TPM once, at its start: there must be one then. */
async function tpmFirst({ environment: { qemu }, directory, spec, signal }: StartInput, cgroups: readonly string[]): Promise<Result<void>> {
  if (spec.tpm === null) return ok(undefined);
  const started = await startTpm({ directory, program: qemu.swtpm, place: spec.tpm, uid: spec.uid, cgroups });
  await faultPoint('vm.start:tpm', spec.vmId);
  return started.ok && signal.aborted ? givenUp() : started;
}

async function takeOver(running: QemuProcess, { directory, memory, signal }: StartInput): Promise<Result<QemuProcess>> {
  try {
    const monitor = await running.connect(monitorLimitMs, signal);
    await directory.lockRun();
    if (memory !== null) await loadMemory(monitor, memory.place);
    await faultPoint('vm.start:running', directory.vmId);
    return ok(running);
  } catch (error) {
    await running.end(false);
    if (signal.aborted) return givenUp();
    if (error instanceof JobFailed) return QemuFailed.fail(`The saved memory cannot be loaded. ${error.message}`, { reason: error.message }, error);
    if (error instanceof MonitorError && error.failure === 'gone') return neverRan(directory);
    return QemuFailed.fail('QEMU was started and did not answer.', { reason: error instanceof Error ? error.message : String(error) }, error);
  }
}

async function neverRan(directory: VmDirectory): Promise<Failed> {
  const { sentence, words } = startFailure(await directory.readQemuLog());
  return QemuFailed.fail(words === '' ? sentence : `${sentence} (${words})`, { reason: words === '' ? sentence : words });
}

const givenUp = (): Failed => QemuFailed.fail('The VM was powered off while it started.', { reason: 'powered off' });

interface Prepared { readonly argv: readonly string[]; readonly cgroups: readonly string[] }

async function prepare({ environment: { drivers, qemu }, directory, spec, paused, memory }: StartInput): Promise<Result<Prepared>> {
  const [disks, nics, cgroups] = await Promise.all([
    drivers.volumes.prepareForVm({ ...spec, disks: [...spec.disks, ...[memory?.place ?? [], spec.tpm ?? [], spec.uefiVars ?? []].flat().map(asDisk)] }),
    Promise.all(spec.nics.map((nic) => drivers.switches.tap(spec.vmId, nic, spec.uid))),
    drivers.cgroups.prepare(spec.vmId, spec),
    directory.prepareRun(spec.uid),
  ]);
  if (!disks.ok) return disks;
  const uefiVars = await flashOf(spec, qemu);
  const begun = uefiVars === null ? ok(undefined) : await beginVars(uefiVars, directory.keptVars);
  if (!begun.ok) return begun;
  const ports = new Map<string, string>();
  for (const [index, nic] of nics.entries()) {
    if (!nic.ok) return failed(nic.fault);
    ports.set(spec.nics[index]!.nicId, nic.value.ifname);
  }
  const argv = commandLine({
    spec, accelerator: qemu.accelerator, datapath: drivers.switches.datapath(), ports, paused: paused || memory !== null, saved: memory?.saved ?? null,
    directDisks: await takingDirectIo(spec), paths: directory.paths, uefiCode: qemu.uefiCode, secureCode: qemu.secureBoot?.code ?? null, uefiVars, hasTpm: qemu.swtpm !== null, nowMs: Date.now(),
  });
  return argv.ok ? ok({ argv: argv.value, cgroups }) : argv;
}

/** The volume of a memory, a TPM or UEFI variables as what a driver gives to the VM's user. */
export const asDisk = (place: VolumePlace): HostDisk => ({ diskId: place.volumeId as string as HostDisk['diskId'], slot: 0, bus: 'virtio', place, readOnly: false, bootIndex: null });

/** Disks on file systems that take O_DIRECT; tmpfs, for one, does not. */
export async function takingDirectIo(spec: Pick<HostVmSpec, 'disks'>): Promise<Set<string>> {
  const answers = await Promise.all(spec.disks.map(async ({ diskId, place }) => {
    try {
      const file = await open(join(place.datastorePath, place.relativePath), constants.O_RDONLY | constants.O_DIRECT);
      await file.close();
      return diskId;
    } catch {
      return null; // EINVAL: not here. A file that cannot be opened at all is what QEMU will report in its own words.
    }
  }));
  return new Set(answers.filter((diskId) => diskId !== null));
}

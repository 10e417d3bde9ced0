// Finds out whether KVM really runs guests here. "It opens" is not enough: only a probe guest that came to its end counts.
// The answer is kept per boot and QEMU version, so that a restart of the agent does not pay for it again.
import { mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Accelerator } from '../drivers.ts';
import { reasonOf, runCommand } from '../run-command.ts';
import type { CommandOutcome } from '../run-command.ts';
import { badExitStatus, goodExitStatus, probeRom } from './probe-rom.ts';

export interface AcceleratorOptions {
  /** Directory for the remembered answer. */
  readonly stateDir: string;
  readonly qemu?: string;
}
export interface AcceleratorAnswer { accelerator: 'kvm' | 'tcg'; reason: string }

const probeDeadlineMs = 2_000;
const device = '/dev/kvm';

export function createAccelerator({ stateDir, qemu = 'qemu-system-x86_64' }: AcceleratorOptions): Accelerator {
  const file = join(stateDir, 'accelerator.json');
  let answer: Promise<AcceleratorAnswer> | undefined;
  const find = async (): Promise<AcceleratorAnswer> => {
    const key = await keyOf(qemu);
    const known = await remembered(file, key);
    if (known) return known;
    const found = await probeKvm(qemu);
    await remember(file, key, found);
    return found;
  };
  return {
    probe: () => {
      answer ??= find();
      // A probe that could not even be made (disk full) is tried again by the next caller.
      answer.catch(() => { answer = undefined; });
      return answer;
    },
  };
}

/** A new kernel or a new QEMU may behave differently: the answer holds for this pair only. */
async function keyOf(qemu: string): Promise<string> {
  const version = await runCommand([qemu, '--version'], { deadlineMs: 5_000 });
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8');
  return `${boot.trim()} ${version.stdout.split('\n')[0] ?? ''}`;
}

async function remembered(file: string, key: string): Promise<AcceleratorAnswer | undefined> {
  try {
    const kept: unknown = JSON.parse(await readFile(file, 'utf8'));
    if (typeof kept !== 'object' || kept === null || !('key' in kept) || kept.key !== key) return undefined;
    if (!('accelerator' in kept) || !('reason' in kept) || typeof kept.reason !== 'string') return undefined;
    if (kept.accelerator !== 'kvm' && kept.accelerator !== 'tcg') return undefined;
    return { accelerator: kept.accelerator, reason: kept.reason };
  } catch {
    return undefined; // absent, or torn by a crash: the probe is made again
  }
}

async function remember(file: string, key: string, found: AcceleratorAnswer): Promise<void> {
  const draft = `${file}.${process.pid}`;
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(draft, JSON.stringify({ key, ...found }));
  await rename(draft, file);
}

export async function probeKvm(qemu: string): Promise<AcceleratorAnswer> {
  const closed = await whyClosed();
  if (closed) return { accelerator: 'tcg', reason: closed };
  const outcome = await runProbeGuest(qemu, 'kvm');
  if (outcome.code === goodExitStatus) return { accelerator: 'kvm', reason: 'a probe guest ran to its end on KVM' };
  return { accelerator: 'tcg', reason: `KVM does not run guests here: ${whyBad(outcome)}` };
}

async function whyClosed(): Promise<string | undefined> {
  try {
    await (await open(device, 'r+')).close();
    return undefined;
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'unknown error';
    return code === 'ENOENT' ? `${device} does not exist: the processor's virtualization is off or its kernel module is not loaded` : `${device} cannot be opened (${code})`;
  }
}

function whyBad(outcome: CommandOutcome): string {
  const internal = /KVM internal error\. Suberror: \d+/.exec(outcome.stderr)?.[0];
  if (internal) return `the probe guest stopped with "${internal}"`;
  if (outcome.code === badExitStatus) return 'the probe guest calculated wrong results';
  if (outcome.ended === 'deadline') return `the probe guest did not end within ${probeDeadlineMs} ms`;
  return reasonOf(['qemu'], outcome);
}

/** Runs the probe guest once. Exit status `goodExitStatus` is the only good answer. */
export async function runProbeGuest(qemu: string, accelerator: 'kvm' | 'tcg', deadlineMs = probeDeadlineMs): Promise<CommandOutcome> {
  const directory = await mkdtemp('/tmp/tok-probe-');
  try {
    const rom = join(directory, 'probe.rom');
    await writeFile(rom, probeRom());
    return await runCommand([
      qemu, '-accel', accelerator, '-cpu', 'qemu64', '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-net', 'none',
      '-bios', rom, '-device', 'isa-debug-exit,iobase=0xf4,iosize=4',
    ], { deadlineMs });
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

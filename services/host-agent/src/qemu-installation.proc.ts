// Which QEMU and which firmware this machine has, and what may accelerate it.
import { access, readFile } from 'node:fs/promises';
import type { Accelerator } from './drivers.ts';
import type { Qemu } from './environment.ts';
import { reasonOf, runCommand, succeeded } from './run-command.ts';

export const qemuProgram = '/usr/bin/qemu-system-x86_64';

/** Code and variables that belong together; the first pair that is installed is used. */
const firmwares = [
  { uefiCode: '/usr/share/OVMF/OVMF_CODE_4M.fd', uefiVars: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
  { uefiCode: '/usr/share/OVMF/OVMF_CODE.fd', uefiVars: '/usr/share/OVMF/OVMF_VARS.fd' },
  { uefiCode: '/usr/share/edk2/ovmf/OVMF_CODE.fd', uefiVars: '/usr/share/edk2/ovmf/OVMF_VARS.fd' },
] as const;

/** Code that needs SMM, and variables with Microsoft's keys enrolled. */
const secureFirmware = { code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd', vars: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd' };

async function installed(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false);
}

/** Throws when there is no QEMU: without one an agent is of no use. */
export async function findQemu(accelerator: Accelerator, program: string = qemuProgram): Promise<Qemu> {
  const argv = [program, '--version'];
  const [told, found, swtpm, kvmGid] = await Promise.all([runCommand(argv, { deadlineMs: 10_000 }), accelerator.probe(), findSwtpm(), groupId('kvm')]);
  if (!succeeded(told)) throw new Error(`QEMU cannot be run: ${reasonOf(argv, told)}. Install it (Debian: apt-get install qemu-system-x86).`);
  const version = /version (\S+)/.exec(told.stdout)?.[1] ?? 'unknown';
  const pairs = await Promise.all(firmwares.map(async (pair) => ((await installed(pair.uefiCode)) && (await installed(pair.uefiVars)) ? pair : null)));
  const firmware = pairs.find((pair) => pair !== null) ?? firmwares[0];
  const secureBoot = (await installed(secureFirmware.code)) && (await installed(secureFirmware.vars)) ? secureFirmware : null;
  return { program, version, accelerator: found.accelerator, acceleratorReason: found.reason, ...firmware, secureBoot, swtpm, kvmGid };
}

const swtpmProgram = '/usr/bin/swtpm';

/** One that makes TPMs 2.0 and can keep a state in a single file, as a volume is one (0.7 and newer). */
async function findSwtpm(): Promise<string | null> {
  if (!(await installed(swtpmProgram))) return null;
  const told = await runCommand([swtpmProgram, 'socket', '--tpm2', '--print-capabilities'], { deadlineMs: 10_000 });
  return succeeded(told) && ['tpm-2.0', 'nvram-backend-file'].every((feature) => told.stdout.includes(`"${feature}"`)) ? swtpmProgram : null;
}

async function groupId(name: string): Promise<number | null> {
  const groups = await readFile('/etc/group', 'utf8');
  const line = groups.split('\n').find((one) => one.startsWith(`${name}:`));
  return line === undefined ? null : Number(line.split(':')[2]);
}

// What the host keeps of one VM: its document, its journal, and a private directory that its QEMU may write to. All of
// it can be read with `cat`, and the document holds the command line, so that an operator can start the VM by hand.
import { access, chmod, chown, copyFile, constants, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Epoch, HostVmSpec, SavedMemory } from '#contracts';
import { z } from 'zod';
import { errorCode } from '../error-code.ts';
import { syncDirectory, writeWhole } from '../journal/journal.store.ts';
import type { VmPaths } from './command-line.ts';
import type { UefiFirmware } from './uefi-vars.ts';

const Document = z.object({
  epoch: Epoch, spec: HostVmSpec, argv: z.array(z.string()).nullable(),
  saved: SavedMemory.nullable().default(null).describe('what its memory was saved from when it was hibernated'),
});
export type VmDocument = z.infer<typeof Document>;

/** `damaged` = it is there and cannot be read: the VM is kept, and the text says what is wrong. */
export type DocumentRead = { readonly kind: 'document'; readonly document: VmDocument } | { readonly kind: 'none' } | { readonly kind: 'damaged'; readonly reason: string };

const vmIdPattern = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
export const vmsPath = (hostDir: string): string => join(hostDir, 'vms');

/** Ids of the VMs that have a directory. */
export async function listVmDirectories(hostDir: string): Promise<string[]> {
  return (await readdir(vmsPath(hostDir))).filter((name) => vmIdPattern.test(name));
}

export class VmDirectory {
  readonly path: string;
  readonly journal: string;
  readonly pidFile: string;
  /** What QEMU said on its standard error since its last start. */
  readonly qemuLog: string;
  readonly tpmPidFile: string;
  private readonly tpmLog: string;
  readonly paths: VmPaths;
  /** Where agents kept UEFI variables before these had a volume. */
  readonly keptVars: Readonly<Record<UefiFirmware, string>>;
  private readonly document: string;
  private readonly run: string;

  constructor(readonly hostDir: string, readonly vmId: string) {
    this.path = join(vmsPath(hostDir), vmId);
    this.journal = join(this.path, 'journal.ndjson');
    this.document = join(this.path, 'vm.json');
    this.pidFile = join(this.path, 'qemu.pid');
    this.qemuLog = join(this.path, 'qemu.log');
    this.tpmPidFile = join(this.path, 'tpm.pid');
    this.tpmLog = join(this.path, 'tpm.log');
    this.run = join(this.path, 'run');
    const inRun = (name: string): string => join(this.run, name);
    // Names are short because a unix socket's path ends at 107 characters.
    this.paths = {
      qmp: inRun('qmp.sock'), people: inRun('hmp.sock'), guestAgent: inRun('qga.sock'), serial: inRun('ser.sock'), vnc: inRun('vnc.sock'), tpm: inRun('tpm.sock'),
      console: inRun('console.log'),
    };
    this.keptVars = { uefi: inRun('uefi-vars.fd'), 'uefi-secure': inRun('uefi-secure-vars.fd') };
  }

  async create(): Promise<void> {
    await mkdir(this.path, { recursive: true, mode: 0o711 });
    await syncDirectory(vmsPath(this.hostDir));
  }

  async readDocument(): Promise<DocumentRead> {
    try {
      const read = Document.safeParse(JSON.parse(await readFile(this.document, 'utf8')));
      return read.success ? { kind: 'document', document: read.data } : { kind: 'damaged', reason: `vm.json: ${z.prettifyError(read.error)}` };
    } catch (error) {
      if (isMissing(error)) return { kind: 'none' };
      return { kind: 'damaged', reason: `vm.json: ${error instanceof Error ? error.message : String(error)}` };
    }
  }

  writeDocument(document: VmDocument): Promise<void> {
    return writeWhole(this.document, `${JSON.stringify(document, null, 2)}\n`);
  }

  /** The directory for sockets and console, which belongs to the VM's user and to nobody else; stale sockets are removed. */
  async prepareRun(uid: number): Promise<void> {
    await mkdir(this.run, { recursive: true, mode: 0o700 });
    await chown(this.run, uid, uid);
    await chmod(this.run, 0o700);
    const { qmp, people, guestAgent, serial, vnc, tpm } = this.paths;
    await Promise.all([qmp, people, guestAgent, serial, vnc, tpm].map((socket) => rm(socket, { force: true })));
  }

  /** QEMU has made its sockets: from now on only the agent can reach them, and QEMU can put nothing in their place. */
  async lockRun(): Promise<void> {
    await chown(this.run, 0, 0);
    await chmod(this.run, 0o700);
  }

  /** Keeps the console's text bounded: what is beyond `limitBytes` moves into one older file. */
  async rotateConsole(limitBytes: number): Promise<void> {
    const file = await open(this.paths.console, constants.O_RDWR | constants.O_NOFOLLOW).catch((error: unknown) => {
      if (isMissing(error)) return null;
      throw error;
    });
    if (file === null) return;
    try {
      const { size } = await file.stat();
      if (size <= limitBytes) return;
      await copyFile(this.paths.console, `${this.paths.console}.1`);
      await file.truncate(0);
    } finally {
      await file.close();
    }
  }

  openQemuLog(): Promise<FileHandle> {
    return openLog(this.qemuLog);
  }

  readQemuLog(): Promise<string> {
    return readLog(this.qemuLog);
  }

  /** Made before the TPM's process is: while there is none, no TPM was ever begun here. */
  openTpmLog(): Promise<FileHandle> {
    return openLog(this.tpmLog);
  }

  readTpmLog(): Promise<string> {
    return readLog(this.tpmLog);
  }

  async hadTpm(): Promise<boolean> {
    return access(this.tpmLog).then(() => true, () => false);
  }

  async readPid(): Promise<number | null> {
    try {
      const pid = Number((await readFile(this.pidFile, 'utf8')).trim());
      return Number.isSafeInteger(pid) && pid > 1 ? pid : null;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
    await syncDirectory(vmsPath(this.hostDir));
  }
}

const openLog = (path: string): Promise<FileHandle> => open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_APPEND, 0o600);

async function readLog(path: string): Promise<string> {
  const log = await readFile(path, 'utf8').catch((error: unknown) => {
    if (isMissing(error)) return '';
    throw error;
  });
  return log.slice(-16_384);
}

export const isMissing = (error: unknown): boolean => errorCode(error) === 'ENOENT';

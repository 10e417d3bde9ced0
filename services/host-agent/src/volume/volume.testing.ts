// Datastores and hostile images for tests: a directory with a marker, and qcow2 files bent by hand.
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { VolumePlace } from '#contracts';
import { DatastoreId, UploadId, VolumeId } from '#contracts';
import { newUuid, orThrow } from '#kernel';
import type { Progress, VolumeDriver, VolumeWork } from '../drivers.ts';

const exec = promisify(execFile);
export const qemuImg = async (...args: string[]): Promise<string> => (await exec('qemu-img', args)).stdout;
export const qemuIo = async (format: string, file: string, ...commands: string[]): Promise<string> => (await exec('qemu-io', ['-f', format, ...commands.flatMap((one) => ['-c', one]), file])).stdout;
export const MiB = 1024 * 1024;

export const work = (): VolumeWork & { progress: Progress[]; controller: AbortController } => {
  const controller = new AbortController();
  const progress: Progress[] = [];
  return { controller, signal: controller.signal, progress, onProgress: (step) => { progress.push(step); } };
};

export class TestDatastore {
  readonly datastoreId = DatastoreId.parse(newUuid());
  private constructor(readonly path: string, private readonly mounted: boolean) {}

  /** With a size, a file system of its own that is no larger. */
  static async make(driver: VolumeDriver, sizeBytes?: number): Promise<TestDatastore> {
    const path = await mkdtemp('/tmp/tok-datastore-');
    if (sizeBytes !== undefined) await exec('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', path]);
    await chmod(path, 0o755);
    const store = new TestDatastore(path, sizeBytes !== undefined);
    orThrow(await driver.probe({ datastoreId: store.datastoreId, path, initialise: true }, work()));
    return store;
  }

  place(kind: 'volumes' | 'images' = 'volumes', format: 'qcow2' | 'raw' = 'qcow2'): VolumePlace {
    const volumeId = VolumeId.parse(newUuid());
    return { volumeId, datastoreId: this.datastoreId, datastorePath: this.path, relativePath: `${kind}/${volumeId}.${format}`, format };
  }

  /** A qcow2 whose first bytes are random and whose rest is empty. */
  async image(place: VolumePlace, sizeBytes: number, dataBytes: number, pattern = 'a5'): Promise<VolumePlace> {
    await qemuImg('create', '-q', '-f', place.format, this.file(place), String(sizeBytes));
    await qemuIo(place.format, this.file(place), `write -q -P 0x${pattern} 0 ${dataBytes}`);
    return place;
  }
  file = (place: VolumePlace): string => join(this.path, place.relativePath);

  /** Sends bytes as an upload would. */
  async upload(driver: VolumeDriver, bytes: Buffer): Promise<UploadId> {
    const uploadId = UploadId.parse(newUuid());
    const piece = 500_000;
    for (let offset = 0; offset === 0 || offset < bytes.length; offset += piece) {
      orThrow(await driver.uploadWrite({ uploadId, datastorePath: this.path, offset, data: bytes.subarray(offset, offset + piece).toString('base64') }, work()));
    }
    return uploadId;
  }

  async remove(): Promise<void> {
    if (this.mounted) await exec('umount', [this.path]);
    await rm(this.path, { recursive: true, force: true });
  }
}

/** Bytes of a fresh qcow2, bent by `bend`. */
export async function qcow2Bytes(sizeBytes: number, args: string[] = [], bend: (bytes: Buffer) => Buffer = (bytes) => bytes): Promise<Buffer> {
  const directory = await mkdtemp('/tmp/tok-image-');
  try {
    const file = join(directory, 'image.qcow2');
    await qemuImg('create', '-q', '-f', 'qcow2', ...args, file, String(sizeBytes));
    return bend(await readFile(file));
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export async function withTextFile<T>(text: string, use: (path: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp('/tmp/tok-victim-');
  try {
    const path = join(directory, 'victim');
    await writeFile(path, text);
    await chmod(directory, 0o755);
    return await use(path);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

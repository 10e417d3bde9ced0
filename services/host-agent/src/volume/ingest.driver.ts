// Takes an upload in (security.md S1 to S5): own reading of the header, checksum, QEMU's opinion in a sandbox, then a
// conversion in the sandbox into a fresh file. A refused upload is removed; nothing of it was ever a volume.
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readFile, rename } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import type { InputOf, ReplyOf, hostVolumeIngest } from '#contracts';
import { CommandCancelled, ImageRefused, NotFoundOnHost } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { VolumeWork } from '../drivers.ts';
import { runCommand } from '../run-command.ts';
import type { CommandOutcome } from '../run-command.ts';
import { badInput, checkSpace, codeOf, draftsOf, enter, failedBecause, publish, remove, statOf, writeDurably } from './datastore.driver.ts';
import { QemuImageInfo, headerBytes, parseQcow2, whyNotImportable, whyNotRaw } from './image-header.ts';
import { draftPath, recordPath, sealedFile, uploadFile, volumePath } from './places.ts';
import { judged, outputOptions, progressTo } from './qemu-img.driver.ts';
import { limitsFor, sandboxed } from './sandbox.ts';
import { openUpload } from './upload.driver.ts';

type Input = InputOf<typeof hostVolumeIngest>;
type Reply = ReplyOf<typeof hostVolumeIngest>;
export interface IngestOptions {
  /** Group that may read images. */
  readonly templateGid: number;
  /** The sandbox's user. */
  readonly sandboxUid: number;
}
const Record = z.object({ virtualBytes: z.int(), sha256: z.string() });
// The sandboxed program sees the two files as descriptors 3 and 4: it needs no path, and no right on any directory.
const source = '/proc/self/fd/3';
const target = '/proc/self/fd/4';
const refuse = (reason: string) => ImageRefused.fail(`The image is not acceptable: ${reason}`, { reason });

export async function ingestVolume(input: Input, work: VolumeWork, options: IngestOptions): Promise<Result<Reply>> {
  if (input.datastorePath !== input.to.datastorePath) return badInput('to.datastorePath', 'the image goes to the datastore of its upload');
  const space = await enter(input.to);
  if (!space.ok) return space;
  try {
    const done = await finished(input);
    if (done !== null) return ok(done);
    const room = checkSpace(input.to.datastoreId, space.value, input.sizeBytes);
    if (!room.ok) return room;
    const sealed = await seal(input);
    if (!sealed.ok) return sealed;
    const taken = await takeIn(input, sealed.value, work, options);
    if (!taken.ok && taken.fault.code === ImageRefused.code) await remove(sealed.value);
    return taken;
  } catch (error) {
    return failedBecause(`the image could not be taken in (${codeOf(error)})`, error);
  } finally {
    await remove(draftPath(input.to, input.commandId));
  }
}

/** The reply of an ingest that came to its end before; removes what a crash left of it. */
async function finished(input: Input): Promise<Reply | null> {
  const stat = await statOf(volumePath(input.to));
  if (stat === null) return null;
  const record = Record.parse(JSON.parse(await readFile(recordPath(input.to), 'utf8')));
  await remove(sealedFile(input.datastorePath, input.uploadId));
  return { ...record, allocatedBytes: stat.blocks * 512 };
}

/** From here on no piece can be written: what is checked is what is converted. */
async function seal(input: Input): Promise<Result<string>> {
  const sealed = sealedFile(input.datastorePath, input.uploadId);
  if ((await statOf(sealed)) !== null) return ok(sealed);
  try {
    await rename(uploadFile(input.datastorePath, input.uploadId), sealed);
    return ok(sealed);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return NotFoundOnHost.fail('there is no such upload on this datastore', { noun: 'upload', id: input.uploadId });
    throw error;
  }
}

async function takeIn(input: Input, sealed: string, work: VolumeWork, options: IngestOptions): Promise<Result<Reply>> {
  const { file, size } = await openUpload(sealed, constants.O_RDONLY);
  try {
    if (size !== input.sizeBytes) return refuse(`${size} bytes arrived, ${input.sizeBytes} were announced`);
    const virtualBytes = await checkedSize(input, file, size);
    if (!virtualBytes.ok) return virtualBytes;
    const sha256 = await checksum(file, work.signal);
    if (sha256 === null) return CommandCancelled.fail('cancelled');
    if (input.sha256 !== null && input.sha256 !== sha256) return refuse('its SHA-256 is another than announced');
    // The sandbox's user may read this one file.
    await file.chown(options.sandboxUid, options.sandboxUid);
    await file.chmod(0o400);
    const converted = await convertInSandbox(input, file, virtualBytes.value, work, options);
    if (!converted.ok) return converted;
    // Before the name: whoever finds the volume finds its record.
    await writeDurably(recordPath(input.to), JSON.stringify({ virtualBytes: virtualBytes.value, sha256 } satisfies z.infer<typeof Record>), 0o644);
    await publish(draftPath(input.to, input.commandId), volumePath(input.to));
    await remove(sealed);
    for (const draft of await draftsOf(input.to)) await remove(draft);
    return ok({ virtualBytes: virtualBytes.value, sha256, allocatedBytes: ((await statOf(volumePath(input.to)))?.blocks ?? 0) * 512 });
  } finally {
    await file.close();
  }
}

async function checkedSize(input: Input, file: FileHandle, size: number): Promise<Result<number>> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(headerBytes), 0, headerBytes, 0);
  const start = buffer.subarray(0, bytesRead);
  if (input.format === 'raw') {
    const other = whyNotRaw(start);
    if (other !== null) return refuse(other);
    const virtualBytes = Math.ceil(size / 512) * 512;
    return virtualBytes === 0 || virtualBytes > input.maxVirtualBytes ? refuse(`its size of ${size} bytes is outside 1 to ${input.maxVirtualBytes}`) : ok(virtualBytes);
  }
  const parsed = parseQcow2(start, size);
  if ('reason' in parsed) return refuse(parsed.reason);
  const wrong = whyNotImportable(parsed.header, input);
  return wrong === null ? ok(parsed.header.virtualBytes) : refuse(wrong);
}

/** SHA-256 of the file, lower-case hex; null when cancelled. */
async function checksum(file: FileHandle, signal: AbortSignal): Promise<string | null> {
  const hash = createHash('sha256');
  const piece = Buffer.alloc(1024 * 1024);
  for (let offset = 0; ;) {
    if (signal.aborted) return null;
    const { bytesRead } = await file.read(piece, 0, piece.length, offset);
    if (bytesRead === 0) return hash.digest('hex');
    hash.update(piece.subarray(0, bytesRead));
    offset += bytesRead;
  }
}

async function convertInSandbox(input: Input, file: FileHandle, virtualBytes: number, work: VolumeWork, options: IngestOptions): Promise<Result<void>> {
  const limits = limitsFor({ uploadBytes: input.sizeBytes, virtualBytes, sparseTarget: input.to.format === 'raw' });
  const run = (argv: readonly string[], files: readonly number[], onStdout?: (text: string) => void): Promise<CommandOutcome> =>
    runCommand(sandboxed(options.sandboxUid, limits, argv), { deadlineMs: 2_000 * limits.cpuSeconds, signal: work.signal, files, env: { MALLOC_ARENA_MAX: '2' }, ...(onStdout && { onStdout }) });

  const info = ['qemu-img', 'info', '-f', input.format, '--output=json', source];
  const asked = await verdict(input, info, await run(info, [file.fd]));
  if (!asked.ok) return asked;
  const seen = QemuImageInfo.safeParse(JSON.parse(asked.value));
  if (!seen.success || seen.data['backing-filename'] !== undefined || seen.data.encrypted === true || seen.data['format-specific']?.data?.['data-file'] !== undefined || Math.abs(seen.data['virtual-size'] - virtualBytes) > 511) {
    return refuse('QEMU reads its header in another way');
  }

  const path = draftPath(input.to, input.commandId);
  for (const draft of await draftsOf(input.to)) await remove(draft);
  const draft = await open(path, constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW, 0o600);
  try {
    await draft.chown(options.sandboxUid, options.sandboxUid);
    const argv = ['qemu-img', 'convert', '-p', '-f', input.format, '-O', input.to.format, ...outputOptions(input.to.format), '-W', '-m', '4', source, target];
    const converted = await verdict(input, argv, await run(argv, [file.fd, draft.fd], progressTo(work, virtualBytes)));
    if (!converted.ok) return converted;
    await draft.chown(0, options.templateGid);
    await draft.chmod(0o440);
    return ok(undefined);
  } finally {
    await draft.close();
  }
}

/** What QEMU could not read is the image's fault; only a full disk, a cancel and our own absence of tools are not. */
async function verdict(input: Input, argv: readonly string[], outcome: CommandOutcome): Promise<Result<string>> {
  if (outcome.ended === 'signal' || outcome.ended === 'deadline' || /File too large/.test(outcome.stderr)) return refuse('it takes more time, memory or space than its size explains');
  const result = await judged(argv, outcome, input.to);
  const ours = result.ok || result.fault.code !== 'HOST_COMMAND_FAILED' || outcome.ended !== 'exit' || /^(prlimit|unshare|setpriv): /m.test(outcome.stderr);
  return ours ? result : refuse(`QEMU cannot read it (${outcome.stderr.trim().split('\n').at(-1)?.slice(0, 200) ?? ''})`);
}

// A journal on disk. When `append` has answered ok, the records survive a crash of the process and of the machine;
// when it has failed, none of them will be read later.
import { constants } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { JournalFailed } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import { journalLine, readJournal } from './journal-lines.ts';
import type { JournalContent } from './journal-lines.ts';

/** The part of a file that a journal uses; tests put a full disk here. */
export interface JournalFile {
  write(data: Uint8Array, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  readFile(encoding: 'utf8'): Promise<string>;
  truncate(size: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}
export type OpenFile = (path: string, flags: number, mode: number) => Promise<JournalFile>;

const ownerOnly = 0o600;

export class Journal {
  private tail: Promise<unknown> = Promise.resolve();
  /** Set when bytes of a failed append could not be taken back: appending behind them would hide records. */
  private broken: unknown;

  private constructor(readonly path: string, private file: JournalFile, private size: number, private readonly openFile: OpenFile) {}

  /** Opens or makes the journal; a torn end is cut off, so that the next record begins on a line of its own. */
  static async open(path: string, openFile: OpenFile = open): Promise<{ journal: Journal; content: JournalContent }> {
    const file = await openFile(path, constants.O_RDWR | constants.O_CREAT, ownerOnly);
    const text = await file.readFile('utf8');
    const content = readJournal(text);
    const size = Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1));
    if (content.torn) {
      await file.truncate(size);
      await file.datasync();
    }
    await syncDirectory(dirname(path));
    return { journal: new Journal(path, file, size, openFile), content };
  }

  get sizeBytes(): number {
    return this.size;
  }

  append(records: readonly unknown[]): Promise<Result<void>> {
    return this.inTurn(() => this.write(records));
  }

  /** Replaces everything by `records`, whole or not at all. */
  rewrite(records: readonly unknown[]): Promise<Result<void>> {
    return this.inTurn(() => this.replace(records));
  }

  async close(): Promise<void> {
    await this.inTurn(() => this.file.close());
  }

  private async write(records: readonly unknown[]): Promise<Result<void>> {
    if (this.broken !== undefined) return refusal(this.path, this.broken);
    const bytes = Buffer.from(records.map(journalLine).join(''));
    try {
      await writeAll(this.file, bytes, this.size);
      await this.file.datasync();
      this.size += bytes.length;
      return ok(undefined);
    } catch (error) {
      await this.takeBack();
      return refusal(this.path, error);
    }
  }

  private async takeBack(): Promise<void> {
    try {
      await this.file.truncate(this.size);
    } catch (error) {
      this.broken = error;
    }
  }

  private async replace(records: readonly unknown[]): Promise<Result<void>> {
    const fresh = `${this.path}.new`;
    try {
      const bytes = Buffer.from(records.map(journalLine).join(''));
      const file = await this.openFile(fresh, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, ownerOnly);
      try {
        await writeAll(file, bytes, 0);
        await file.datasync();
        await rename(fresh, this.path);
      } catch (error) {
        await file.close();
        throw error;
      }
      const old = this.file;
      Object.assign(this, { file, size: bytes.length, broken: undefined });
      await old.close();
      await syncDirectory(dirname(this.path));
      return ok(undefined);
    } catch (error) {
      await rm(fresh, { force: true });
      return refusal(this.path, error);
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.tail.then(work);
    this.tail = mine.catch(() => undefined); // the caller gets the error; the next in turn must not
    return mine;
  }
}

/** All of them, from `start` on: a write to a disk that becomes full may take a part, and says so by its count alone. */
export async function writeAll(file: Pick<JournalFile, 'write'>, bytes: Uint8Array, start: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, start + done);
    if (bytesWritten === 0) throw new Error('nothing could be written');
    done += bytesWritten;
  }
}

function refusal(path: string, error: unknown): Result<never> {
  const reason = error instanceof Error ? error.message : String(error);
  return JournalFailed.fail(`The host cannot write its journal: ${reason}`, { reason }, { path, error });
}

/** Makes names that were added or removed in a directory last. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Replaces a file whole or not at all. */
export async function writeWhole(path: string, content: string): Promise<void> {
  const fresh = `${path}.new`;
  const file = await open(fresh, constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC, ownerOnly);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, path);
  await syncDirectory(dirname(path));
}

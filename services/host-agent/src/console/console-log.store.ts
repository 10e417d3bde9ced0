// Reads what a serial console has written, from its log on: QEMU writes every byte there, whoever looks. Each reader has a
// place of its own in the file, so one that is slow costs no memory and holds nobody up.
import { constants, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';

const chunkBytes = 32 * 1024;
const newline = 0x0a;

export class ConsoleLog {
  private constructor(private readonly file: FileHandle, private at: number, private atLineStart: boolean) {}

  /** Begins so many bytes before the end, at the beginning of a line. */
  static async open(path: string, historyBytes: number): Promise<ConsoleLog> {
    // The directory has been the VM user's while its QEMU started: no link is followed and no pipe is waited for.
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) {
      await file.close();
      throw new Error('the console’s log is no file');
    }
    const at = Math.max(0, stat.size - historyBytes);
    return new ConsoleLog(file, at, at === 0 || historyBytes === 0);
  }

  /** The next bytes, none when there are no more for now. A log that was cut short begins anew. */
  async next(): Promise<Buffer> {
    const { size } = await this.file.stat();
    if (size < this.at) this.at = 0;
    if (size === this.at) return Buffer.alloc(0);
    const { bytesRead, buffer } = await this.file.read(Buffer.alloc(Math.min(chunkBytes, size - this.at)), 0, null, this.at);
    this.at += bytesRead;
    return this.fromLineStart(buffer.subarray(0, bytesRead));
  }

  private fromLineStart(bytes: Buffer): Buffer {
    if (this.atLineStart) return bytes;
    this.atLineStart = true;
    return bytes.subarray(bytes.indexOf(newline) + 1);
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

// Listens to the journals of all hosts while they are written: a journal is made shorter now and then, and one of a VM goes
// with the VM, so that what it said is not to be read afterwards. A file stays open until nothing more comes, whatever
// became of its name.
import { closeSync, fstatSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { LabHost } from '../e2e/lab.mjs';
import { Told } from './effects.ts';

const EVERY_MS = 50;
const CHECKSUM = 17;

class Reading {
  private readonly fd: number;
  readonly inode: number;
  private position = 0;
  private rest = '';

  constructor(private readonly path: string) {
    this.fd = openSync(path, 'r');
    this.inode = fstatSync(this.fd).ino;
  }

  /** Whether the name still means this file. */
  get isCurrent(): boolean {
    return statSync(this.path, { throwIfNoEntry: false })?.ino === this.inode;
  }

  more(): unknown[] {
    const bytes = Buffer.alloc(64 * 1024);
    const lines: string[] = [];
    for (let count; (count = readSync(this.fd, bytes, 0, bytes.length, this.position)) > 0;) {
      this.position += count;
      const parts = `${this.rest}${bytes.toString('latin1', 0, count)}`.split('\n');
      this.rest = parts.pop() ?? '';
      lines.push(...parts);
    }
    return lines.flatMap(recordOf);
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Ids and names are ASCII: what stands beside them may be cut in the middle of a letter. */
function recordOf(line: string): unknown[] {
  try {
    return [JSON.parse(line.slice(CHECKSUM))];
  } catch {
    return []; // a line that its writer's death has torn is cut off by the agent
  }
}

export class JournalWatch {
  readonly told = new Map<string, Told[]>();
  private readonly open = new Map<string, Reading>();
  private readonly timer: NodeJS.Timeout;

  constructor(private readonly hosts: readonly LabHost[]) {
    this.timer = setInterval(() => { this.look(); }, EVERY_MS);
    this.look();
  }

  look(): void {
    for (const { name, stateDir } of this.hosts) {
      for (const path of [join(stateDir, 'host.ndjson'), ...journalsBelow(join(stateDir, 'vms'))]) this.follow(name, path);
    }
    for (const [path, reading] of this.open) {
      const { isCurrent } = reading;
      this.hear(path.split(' ')[0]!, reading);
      if (isCurrent) continue;
      reading.close();
      this.open.delete(path);
    }
  }

  end(): void {
    clearInterval(this.timer);
    this.look();
    for (const reading of this.open.values()) reading.close();
    this.open.clear();
  }

  private follow(host: string, path: string): void {
    const inode = statSync(path, { throwIfNoEntry: false })?.ino;
    if (inode === undefined || this.open.has(`${host} ${path} ${inode}`)) return;
    try {
      const reading = new Reading(path);
      this.open.set(`${host} ${path} ${reading.inode}`, reading);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }

  private hear(host: string, reading: Reading): void {
    const known = this.told.get(host) ?? [];
    known.push(...reading.more().flatMap((record) => {
      const told = Told.safeParse(record);
      return told.success ? [told.data] : [];
    }));
    this.told.set(host, known);
  }
}

function journalsBelow(dir: string): string[] {
  try {
    return readdirSync(dir).map((vmId) => join(dir, vmId, 'journal.ndjson'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

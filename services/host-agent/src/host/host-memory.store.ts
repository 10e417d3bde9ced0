// What the host keeps that is no VM's: commands on volumes and switches, and the tombstones of deleted VMs. Same form
// and same promises as a VM's journal.
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { BusLog } from '#bus';
import type { Result } from '#kernel';
import { z } from 'zod';
import { Journal } from '../journal/journal.store.ts';
import { CommandBook, CommandRecord, resultsKeptMs } from '../journal/records.ts';

const Tombstone = z.object({ type: z.literal('tombstone'), at: z.number(), vmId: z.string(), epoch: z.number() });
const Revived = z.object({ type: z.literal('revived'), at: z.number(), vmId: z.string() });
type Tombstone = z.infer<typeof Tombstone>;
export type HostRecord = CommandRecord | Tombstone | z.infer<typeof Revived>;

const compactAboveBytes = 1024 * 1024;

export class HostMemory {
  readonly book = new CommandBook();
  private readonly tombstones = new Map<string, Tombstone>();

  private constructor(private readonly journal: Journal) {}

  static async open(hostDir: string, log: BusLog): Promise<HostMemory> {
    const path = join(hostDir, 'host.ndjson');
    const { journal, content } = await Journal.open(path);
    const memory = new HostMemory(journal);
    for (const record of content.records) memory.applyUnchecked(record);
    if (content.damaged.length > 0) {
      log.error({ path, lines: content.damaged }, 'the host’s journal is damaged; the file is kept beside it as host.ndjson.damaged');
      await copyFile(path, `${path}.damaged`);
    }
    if (content.damaged.length > 0 || journal.sizeBytes > 0) await memory.compact();
    return memory;
  }

  /** The epoch of a VM that was deleted here; null when none was. */
  deletedEpoch(vmId: string): number | null {
    return this.tombstones.get(vmId)?.epoch ?? null;
  }

  async append(records: readonly HostRecord[]): Promise<Result<void>> {
    const written = await this.journal.append(records);
    if (!written.ok) return written;
    for (const record of records) this.apply(record);
    if (this.journal.sizeBytes > compactAboveBytes) await this.compact();
    return written;
  }

  close(): Promise<void> {
    return this.journal.close();
  }

  private applyUnchecked(record: unknown): void {
    const known = z.union([CommandRecord, Tombstone, Revived]).safeParse(record);
    if (known.success) this.apply(known.data);
  }

  private apply(record: HostRecord): void {
    if (record.type === 'tombstone') this.tombstones.set(record.vmId, record);
    else if (record.type === 'revived') this.tombstones.delete(record.vmId);
    else this.book.apply(record);
  }

  private expire(now: number): void {
    const old = [...this.tombstones.values()].filter(({ at }) => now - at > resultsKeptMs);
    for (const { vmId } of old) this.tombstones.delete(vmId);
    this.book.expire(now, resultsKeptMs);
  }

  private async compact(): Promise<void> {
    this.expire(Date.now());
    await this.journal.rewrite([...this.tombstones.values(), ...this.book.toRecords()]);
  }
}

// audit verify: has the platform check its audit log stretch by stretch, or checks a list of it that was kept, without the
// platform. Fails when a row was altered, removed, moved or added.
import { readFileSync } from 'node:fs';
import { AuditEntry, verifyAudit } from '#contracts';
import type { AuditFlaw } from '#contracts';
import { linkHash } from '#kernel';
import { z } from 'zod';
import type { Context, Options } from './context.ts';
import { exit } from './exit-codes.ts';
import { Failure, usageFailure } from './failures.ts';
import { operationNamed } from './platform.client.ts';

export interface AuditVerifyOptions extends Options {
  readonly from?: string;
  readonly expect?: string;
}

const stretch = 5_000;

export async function verifyPlatform({ around, platform }: Context, options: AuditVerifyOptions): Promise<void> {
  const { expect } = options;
  if (options.from !== undefined && !/^\d{1,9}$/.test(options.from)) throw usageFailure('--from takes the number of a row (its SEQ).');
  if (expect !== undefined && !/^\d{1,9}:[0-9a-f]{64}$/.test(expect)) throw usageFailure('--expect takes what an earlier verify printed as newest: <seq>:<hash>.');
  const flaws: AuditFlaw[] = [];
  let checked = 0;
  for (let from: number | null = Number(options.from ?? 0); from !== null;) {
    const answer = verifyAudit.reply.parse(await platform.call(operationNamed(verifyAudit.name), { from, limit: stretch, ...(expect === undefined ? {} : { expect }) }));
    checked += answer.checked;
    flaws.push(...answer.flaws.filter(({ seq, flaw }) => !flaws.some((known) => known.seq === seq && known.flaw === flaw)));
    from = answer.next;
    if (from === null) tell(around.out, checked, flaws, answer.head, answer.base.seq);
  }
}

const Kept = z.union([z.array(AuditEntry), z.object({ items: z.array(AuditEntry) }).transform(({ items }) => items)]);

/** Without seals: shows what was changed in the list since, or that two rows of it do not follow each other. */
export function verifyFile(out: (text: string) => void, file: string): void {
  const rows = keptRows(file).toSorted((a, b) => a.seq - b.seq);
  const flaws: AuditFlaw[] = [];
  rows.forEach(({ seq, hash, ...record }, index) => {
    const before = rows[index - 1];
    if (before === undefined) return; // what stands before the first row is not in the file
    if (seq !== before.seq + 1) flaws.push({ seq: before.seq + 1, flaw: 'missing', text: `Rows ${before.seq + 1} to ${seq - 1} are not in the file.` });
    else if (linkHash(before.hash, seq, record) !== hash) flaws.push({ seq, flaw: 'altered', text: `Row ${seq} (${record.id}) was altered, moved, or put in.` });
  });
  tell(out, rows.length, flaws, rows.at(-1), (rows[0]?.seq ?? 1) - 1);
}

function keptRows(file: string): readonly AuditEntry[] {
  try {
    return Kept.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw usageFailure(`${file} is no list of the audit log: ${(error as Error).message.split('\n', 1)[0] ?? ''}`, 'Make one with tokctl audit list --sort seq -o json.');
  }
}

function tell(out: (text: string) => void, checked: number, flaws: readonly AuditFlaw[], head: { seq: number; hash: string } | undefined, before: number): void {
  out(`checked  ${checked} rows${before > 0 ? ` behind row ${before}` : ''}`);
  if (head !== undefined) out(`newest   ${head.seq}:${head.hash}`);
  if (flaws.length > 0) throw new Failure(exit.refused, ...flaws.map(({ flaw, text }) => `${flaw}: ${text}`), `The audit log is not as it was written (${flaws.length} ${flaws.length === 1 ? 'flaw' : 'flaws'}).`);
  out('sound    nothing was altered, removed, moved or added');
}

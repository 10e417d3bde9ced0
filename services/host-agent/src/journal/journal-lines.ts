// The form of a journal: one JSON record per line behind its checksum, readable with `cat`. What a crash may leave (a
// last line without its end) is told apart from what only a broken disk leaves (a whole line with a wrong checksum).
import { createHash } from 'node:crypto';

export interface JournalContent {
  readonly records: readonly unknown[];
  /** The last line had no end: its writer died, and nothing was done because of it. */
  readonly torn: boolean;
  /** Numbers (from 1) of whole lines that are not what was written. */
  readonly damaged: readonly number[];
}

const checksum = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

export function journalLine(record: unknown): string {
  const text = JSON.stringify(record);
  return `${checksum(text)} ${text}\n`;
}

export function readJournal(content: string): JournalContent {
  const lines = content.split('\n');
  const torn = lines.pop() !== '';
  const records: unknown[] = [];
  const damaged: number[] = [];
  lines.forEach((line, index) => {
    const record = recordOf(line);
    if (record === undefined) damaged.push(index + 1);
    else records.push(record);
  });
  return { records, torn, damaged };
}

function recordOf(line: string): unknown {
  const text = line.slice(17);
  if (line[16] !== ' ' || line.slice(0, 16) !== checksum(text)) return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined; // a checksum over something that never was a record
  }
}

// A journal keeps what it has acknowledged and nothing else, whatever the disk does.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { journalLine, readJournal } from './journal-lines.ts';
import { Journal } from './journal.store.ts';
import type { JournalFile, OpenFile } from './journal.store.ts';
import { isKept } from './outcome.ts';
import { CommandBook } from './records.ts';
import { StaleEpoch, VmBusy } from '#contracts';

let dir: string;
beforeEach(() => { dir = mkdtempSync(join(tmpdir(), 'tok-journal-')); });
afterEach(() => rmSync(dir, { recursive: true, force: true }));
const path = (): string => join(dir, 'journal.ndjson');

describe('lines', () => {
  const texts = fc.array(fc.record({ n: fc.integer(), text: fc.string() }), { minLength: 1, maxLength: 8 });
  test('what was written is read', () => {
    fc.assert(fc.property(texts, (records) => {
      expect(readJournal(records.map(journalLine).join(''))).toEqual({ records, torn: false, damaged: [] });
    }));
  });
  test('a cut at any byte loses the last line at most, and is told as torn, never as damage', () => {
    const records = [{ a: 1 }, { b: 'zwei' }, { c: [3] }];
    const whole = records.map(journalLine).join('');
    for (let cut = 0; cut < whole.length; cut++) {
      const content = readJournal(whole.slice(0, cut));
      expect(content.damaged).toEqual([]);
      expect(records.slice(0, content.records.length)).toEqual(content.records);
      expect(content.torn).toBe(cut > 0 && whole[cut - 1] !== '\n');
    }
  });
  test('any flipped bit of a whole line is found', () => {
    const bytes = Buffer.from(journalLine({ state: 'running', epoch: 7 }) + journalLine({ last: true }));
    const firstEnd = bytes.indexOf(10);
    for (let bit = 0; bit < firstEnd * 8; bit++) {
      const copy = Buffer.from(bytes);
      copy[bit >> 3]! ^= 1 << (bit & 7);
      const { records, damaged } = readJournal(copy.toString('utf8'));
      expect(damaged.length).toBeGreaterThan(0);
      expect(records).toEqual([{ last: true }]);
    }
  });
});

describe('on disk', () => {
  test('a torn end is cut off, so that the next record stands on its own line', async () => {
    const first = await Journal.open(path());
    expect(await first.journal.append([{ n: 1 }])).toEqual({ ok: true, value: undefined });
    await first.journal.close();
    appendFileSync(path(), 'abc');
    const second = await Journal.open(path());
    expect(second.content).toEqual({ records: [{ n: 1 }], torn: true, damaged: [] });
    await second.journal.append([{ n: 2 }]);
    await second.journal.close();
    expect(readJournal(readFileSync(path(), 'utf8'))).toEqual({ records: [{ n: 1 }, { n: 2 }], torn: false, damaged: [] });
  });

  test('appends that were begun together keep their order', async () => {
    const { journal } = await Journal.open(path());
    await Promise.all([1, 2, 3, 4, 5].map((n) => journal.append([{ n }])));
    await journal.close();
    expect(readJournal(readFileSync(path(), 'utf8')).records).toEqual([1, 2, 3, 4, 5].map((n) => ({ n })));
  });

  /** Takes `room` bytes, then fails as a full disk does. */
  const fullAfter = (room: number): OpenFile => async (name, flags, mode) => {
    const file = await open(name, flags, mode);
    let left = room;
    const limited: JournalFile = {
      write: async (data, offset, length, position) => {
        if (left === 0) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
        const taken = Math.min(left, length);
        left -= taken;
        return file.write(data, offset, taken, position);
      },
      readFile: (encoding) => file.readFile(encoding), truncate: (size) => file.truncate(size), datasync: () => file.datasync(), close: () => file.close(),
    };
    return limited;
  };

  test('a full disk refuses the record and leaves nothing of it', async () => {
    writeFileSync(path(), journalLine({ n: 1 }));
    const { journal } = await Journal.open(path(), fullAfter(10));
    const refused = await journal.append([{ n: 2 }]);
    expect(refused).toMatchObject({ ok: false, fault: { code: 'JOURNAL_FAILED' } });
    await journal.close();
    expect(readJournal(readFileSync(path(), 'utf8'))).toEqual({ records: [{ n: 1 }], torn: false, damaged: [] });
  });

  test('a rewrite on a full disk keeps the old journal', async () => {
    writeFileSync(path(), journalLine({ n: 1 }));
    const { journal } = await Journal.open(path(), fullAfter(10));
    expect((await journal.rewrite([{ n: 'new' }])).ok).toBe(false);
    await journal.close();
    expect(readJournal(readFileSync(path(), 'utf8')).records).toEqual([{ n: 1 }]);
  });

  test('after a rewrite, appends go to the new file', async () => {
    const { journal } = await Journal.open(path());
    await journal.append([{ n: 1 }, { n: 2 }]);
    await journal.rewrite([{ n: 3 }]);
    await journal.append([{ n: 4 }]);
    await journal.close();
    expect(readJournal(readFileSync(path(), 'utf8')).records).toEqual([{ n: 3 }, { n: 4 }]);
  });
});

describe('commands', () => {
  const intent = { type: 'intent', at: 1, commandId: 'c', name: 'vm.start', input: {} } as const;
  const result = { type: 'result', at: 1, commandId: 'c', name: 'vm.start', outcome: { ok: true, value: 1 } } as const;

  test('an intent is open until its result, a drop, or nothing', () => {
    const book = new CommandBook();
    book.apply(intent);
    expect([...book.intents.keys()]).toEqual(['c']);
    book.apply(result);
    expect([book.intents.size, book.results.size]).toEqual([0, 1]);
    book.apply({ type: 'forgotten', at: 2, commandIds: ['c', 'unknown'] });
    expect(book.results.size).toBe(0);
  });

  test('compacting tells the same', () => {
    const book = new CommandBook();
    for (const record of [result, { ...intent, commandId: 'd' }]) book.apply(record);
    const again = new CommandBook();
    for (const record of book.toRecords()) again.apply(record);
    expect(again).toEqual(book);
  });

  test('results older than their time go', () => {
    const book = new CommandBook();
    book.apply(result);
    expect(book.expire(1_000, 999)).toBe(0);
    expect(book.expire(1_001, 999)).toBe(1);
  });

  test('a fault that may be sent again as it is leaves no result', () => {
    expect(isKept({ ok: false, fault: VmBusy.fault('later') })).toBe(false);
    expect(isKept({ ok: false, fault: StaleEpoch.fault('old') })).toBe(true);
    expect(isKept({ ok: true, value: {} })).toBe(true);
  });
});

// Turns without a database: whom a woken worker takes up.
import { describe, expect, it } from '@jest/globals';
import { LATE_MS, Turns } from './turns.ts';

/** Tasks that are due; `lateMs` of each that is claimed. */
function queueOf(...ids: string[]) {
  const due = new Set(ids);
  let asked = 0;
  let now = 0;
  const turns = new Turns(() => { asked += 1; return Promise.resolve([...due].slice(0, 2)); }, () => now);
  return {
    due, lateMs: 0,
    get asked() { return asked; },
    pass(ms: number) { now += ms; },
    async take(wokenFor: string) {
      const claimed = await turns.take(wokenFor, (id) => Promise.resolve(due.delete(id) ? { id, lateMs: this.lateMs } : null));
      return claimed?.id ?? null;
    },
  };
}

describe('who is woken', () => {
  it('takes up the task it was woken for while none is late, and asks nothing', async () => {
    const queue = queueOf('a1', 'a2', 'b1');
    expect([await queue.take('b1'), await queue.take('a2'), await queue.take('a2')]).toEqual(['b1', 'a2', null]);
    expect(queue.asked).toBe(0);
  });

  it('takes up the one whose turn it is behind one that came late, asking once for several', async () => {
    const queue = queueOf('a1', 'b1', 'a2', 'a3', 'a9');
    queue.lateMs = LATE_MS;
    expect(await queue.take('a9')).toBe('a9');
    expect([await queue.take('a3'), await queue.take('a2'), await queue.take('a1'), await queue.take('b1')]).toEqual(['a1', 'b1', 'a2', 'a3']);
    expect(queue.asked).toBe(2);
    expect(await queue.take('a1')).toBeNull();
  });

  it('passes over what others were quicker with, and looks again', async () => {
    const queue = queueOf('a1', 'a2', 'b1');
    queue.lateMs = LATE_MS;
    await queue.take('b1');
    expect(await queue.take('a2')).toBe('a1');
    queue.due.delete('a2');
    queue.due.add('c1');
    expect(await queue.take('a2')).toBe('c1');
  });

  it('asks once whether anybody queues, and takes up what has come due since', async () => {
    const queue = queueOf('a1');
    queue.lateMs = LATE_MS;
    await queue.take('a1');
    expect([await queue.take('a1'), await queue.take('a1')]).toEqual([null, null]);
    queue.due.add('b1');
    expect(await queue.take('b1')).toBe('b1');
    expect(queue.asked).toBe(1);
  });

  it('asks anew for who has come meanwhile, and goes back to wakes when none is late any more', async () => {
    const queue = queueOf('a1', 'a2', 'a3', 'a4');
    queue.lateMs = LATE_MS;
    await queue.take('a4');
    await queue.take('a3');
    queue.due.clear();
    for (const id of ['b1', 'a2', 'a3']) queue.due.add(id);
    queue.pass(500);
    queue.lateMs = 0;
    expect(await queue.take('a3')).toBe('b1');
    queue.pass(600);
    expect(await queue.take('a3')).toBe('a3');
  });
});

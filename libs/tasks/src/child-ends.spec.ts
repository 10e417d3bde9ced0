import { describe, expect, it } from '@jest/globals';
import type { Task } from '#contracts';
import { ChildEnds } from './child-ends.ts';

const never = new AbortController().signal;

describe('the end of a child', () => {
  it('reaches the parent that waits here, before and after it asks, once each', async () => {
    const ends = new ChildEnds();
    const wait = ends.expect('parent');
    expect(ends.tell('parent', null)).toBe(true);
    expect(await wait.within(60_000, never)).toBe(true);
    const asked = wait.within(60_000, never);
    expect(ends.tell('parent', null)).toBe(true);
    expect(await asked).toBe(true);
    expect(await wait.within(0, never)).toBe(false);
  });

  it('is somebody else’s where nobody waits, or no longer', () => {
    const ends = new ChildEnds();
    expect(ends.tell('parent', null)).toBe(false);
    ends.expect('parent').close();
    expect(ends.tell('parent', null)).toBe(false);
  });

  it('does not outlast the wait of another run of the task', () => {
    const ends = new ChildEnds();
    const before = ends.expect('parent');
    ends.expect('parent');
    before.close();
    expect(ends.tell('parent', null)).toBe(true);
  });

  it('is known by what the child has told, to the parent that waits', () => {
    const ends = new ChildEnds();
    const wait = ends.expect('parent');
    const child = { id: 'child', state: 'failed' } as Task;
    ends.tell('parent', child);
    ends.tell('parent', null);
    expect(wait.endOf('child')).toBe(child);
    expect(wait.endOf('other')).toBeUndefined();
    expect(ends.expect('parent').endOf('child')).toBeUndefined();
  });

  it('is not waited for behind an abort', async () => {
    const stop = new AbortController();
    const wait = new ChildEnds().expect('parent');
    const asked = wait.within(60_000, stop.signal);
    stop.abort();
    expect(await asked).toBe(false);
    expect(await wait.within(60_000, stop.signal)).toBe(false);
  });
});

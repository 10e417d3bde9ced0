import { describe, expect, it } from '@jest/globals';
import { createLogger } from '#telemetry';
import { Lifecycle } from './lifecycle.ts';

function quietLog(): { log: ReturnType<typeof createLogger>; text: () => string } {
  let text = '';
  return { log: createLogger('test', { destination: { write: (line) => { text += line; } } }), text: () => text };
}

describe('the end of a process', () => {
  it('stops in the reverse order of the start, one after the other', async () => {
    const { log } = quietLog();
    const order: string[] = [];
    const lifecycle = new Lifecycle(log);
    lifecycle.onStop('database', () => { order.push('database'); });
    lifecycle.onStop('intake', async () => {
      await new Promise((resolve) => { setImmediate(resolve); });
      order.push('intake');
    });
    expect(await lifecycle.stop('test')).toBe(true);
    expect(order).toEqual(['intake', 'database']);
  });

  it('happens once', async () => {
    let stops = 0;
    const lifecycle = new Lifecycle(quietLog().log);
    lifecycle.onStop('x', () => { stops += 1; });
    await Promise.all([lifecycle.stop('a'), lifecycle.stop('b')]);
    expect(stops).toBe(1);
  });

  it('goes on after a step that fails, and says so', async () => {
    const { log, text } = quietLog();
    let closed = false;
    const lifecycle = new Lifecycle(log);
    lifecycle.onStop('database', () => { closed = true; });
    lifecycle.onStop('tasks', () => { throw new Error('stuck'); });
    expect(await lifecycle.stop('test')).toBe(false);
    expect(closed).toBe(true);
    expect(text()).toContain('"step":"tasks"');
  });

  it('names the step that hangs when the limit passes', async () => {
    const { log, text } = quietLog();
    const lifecycle = new Lifecycle(log, 20);
    lifecycle.onStop('intake', () => new Promise(() => undefined));
    expect(await lifecycle.stop('test')).toBe(false);
    expect(text()).toContain('"step":"intake"');
    expect(text()).toContain('did not stop in time');
  });
});

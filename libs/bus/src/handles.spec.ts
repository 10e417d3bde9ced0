// The compiler rejects a handler of another shape: each line marked as an error must be one, or this file does not compile.
import { expect, test } from '@jest/globals';
import { z } from 'zod';
import { defineQuery, defineReport } from '#contracts';
import type { Result } from '#kernel';
import { ok } from '#kernel';
import type { BusContext, ReportContext } from './context.ts';
import { Handles, OnReport } from './handles.decorator.ts';

const size = defineQuery('ha.probe.size', { summary: 'Size of a text', permission: 'public', input: z.strictObject({ text: z.string() }), reply: z.strictObject({ size: z.int() }) });
const moved = defineReport('probe.moved', { summary: 'Something moved', body: z.strictObject({ to: z.string() }) });

class Fitting {
  @Handles(size)
  async all({ text }: { text: string }, _ctx: BusContext): Promise<Result<{ size: number }>> {
    return ok({ size: text.length });
  }
  @Handles(size)
  async plain({ text }: { text: string }): Promise<{ size: number }> {
    return { size: text.length };
  }
  @OnReport(moved)
  async report(_body: { to: string }, _ctx: ReportContext): Promise<void> {
    return undefined;
  }
}

class Unfitting {
  // @ts-expect-error the input has another type
  @Handles(size)
  async input(_: { text: number }): Promise<{ size: number }> {
    return { size: 1 };
  }
  // @ts-expect-error the reply has another type
  @Handles(size)
  async reply(_: { text: string }): Promise<{ size: string }> {
    return { size: '1' };
  }
  // @ts-expect-error a handler answers in its own time
  @Handles(size)
  sync(_: { text: string }): { size: number } {
    return { size: 1 };
  }
  // @ts-expect-error there is no third argument
  @Handles(size)
  async more(_: { text: string }, _ctx: BusContext, _more: string): Promise<{ size: number }> {
    return { size: 1 };
  }
  // @ts-expect-error a report has no reply
  @OnReport(moved)
  async report(_: { to: string }): Promise<string> {
    return 'x';
  }
}

test('a decorated method is still the method', async () => {
  expect(await new Fitting().plain({ text: 'abc' })).toEqual({ size: 3 });
  expect(await new Fitting().all({ text: 'abc' }, {} as BusContext)).toEqual(ok({ size: 3 }));
  expect(Object.getOwnPropertyNames(Unfitting.prototype)).toContain('sync');
});

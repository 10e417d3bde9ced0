import { describe, expect, it } from '@jest/globals';
import type { BusClient, CallOptions } from '#bus';
import { DeadlineExceeded, getTask, getVm, listEvents, NotFound, Unavailable } from '#contracts';
import type { Operation } from '#contracts';
import { newUuid, ok } from '#kernel';
import type { Result } from '#kernel';
import { askPatiently } from './long-question.client.ts';

const pieces = { waitMs: 5_000, graceMs: 2_000 };
const taskId = newUuid();
const lost = DeadlineExceeded.fail('no answer');
const at = (version: number, state = 'running'): Result<unknown> => ok({ taskId, version, state });

/** Gives these answers in turn; one that is lost takes its whole time, the others what they waited for. */
async function ask(operation: Operation, input: object, answers: readonly Result<unknown>[], options: CallOptions = {}) {
  let now = 0;
  const asked: string[] = [];
  const request = (_: Operation, sent: { waitMs?: number }, { timeoutMs }: CallOptions): Promise<Result<unknown>> => {
    const answer = answers[Math.min(asked.length, answers.length - 1)] ?? lost;
    asked.push(`${sent.waitMs ?? '-'} within ${timeoutMs ?? '-'}`);
    now += answer === lost ? (timeoutMs ?? 0) : (sent.waitMs ?? 0);
    return Promise.resolve(answer);
  };
  const answer = await askPatiently({ request: request as BusClient['request'] }, operation, input, options, pieces, { monotonic: () => now, now: () => now });
  return { answer, asked, now };
}

describe('a question that waits', () => {
  it('is asked piece by piece until there is news', async () => {
    const { answer, asked } = await ask(getTask, { taskId, waitMs: '20000', afterVersion: '3' }, [at(3), at(3), at(4)]);
    expect([answer, asked]).toEqual([at(4), ['5000 within 7000', '5000 within 7000', '5000 within 7000']]);
  });

  it('whose answerer has died is asked again after a piece', async () => {
    const { answer, asked } = await ask(getTask, { taskId, waitMs: 25_000 }, [lost, at(9, 'succeeded')]);
    expect([answer, asked]).toEqual([at(9, 'succeeded'), ['5000 within 7000', '5000 within 7000']]);
  });

  it('is over when the time is over that was asked for, with what there is then', async () => {
    const { answer, asked, now } = await ask(getTask, { taskId, waitMs: 12_000, afterVersion: 3 }, [at(3)]);
    expect([answer, asked, now]).toEqual([at(3), ['5000 within 7000', '5000 within 7000', '2000 within 4000'], 12_000]);
  });

  it('that was lost to the end is asked once more as one that does not wait', async () => {
    expect(await ask(getTask, { taskId, waitMs: 6_000 }, [lost, at(1)])).toMatchObject({ answer: at(1), asked: ['5000 within 7000', '0 within 10000'] });
    expect(await ask(getTask, { taskId, waitMs: 6_000 }, [lost])).toMatchObject({ answer: lost, now: 17_000 });
  });

  it('is refused as any other is', async () => {
    for (const refusal of [NotFound.fail('no', { noun: 'task', id: taskId }), Unavailable.fail('away', { service: 'monitoring' })]) {
      expect(await ask(getTask, { taskId, waitMs: 20_000 }, [refusal])).toMatchObject({ answer: refusal, asked: ['5000 within 7000'] });
    }
  });

  it('is not asked again for a client who has gone', async () => {
    expect((await ask(getTask, { taskId, waitMs: 20_000 }, [lost, at(1)], { signal: AbortSignal.abort() })).asked).toHaveLength(1);
  });

  it('and one that does not wait, or cannot, or is malformed, is asked as it is', async () => {
    expect((await ask(getTask, { taskId }, [at(1)])).asked).toEqual(['0 within 10000']);
    expect((await ask(getVm, { vmId: taskId }, [ok({})])).asked).toEqual(['- within -']);
    expect((await ask(getTask, { taskId, waitMs: 'soon' }, [ok({})])).asked).toEqual(['soon within -']);
  });

  it('knows the news of the log: something that is there', async () => {
    const [none, some] = [ok({ items: [], lastSeq: 7, firstSeq: 1 }), ok({ items: [{}], lastSeq: 8, firstSeq: 1 })];
    expect(await ask(listEvents, { after: 7, waitMs: 20_000 }, [none, none, some])).toMatchObject({ answer: some, asked: [expect.anything(), expect.anything(), expect.anything()] });
  });
});

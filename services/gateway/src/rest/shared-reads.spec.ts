import { describe, expect, it } from '@jest/globals';
import { SharedReads } from './shared-reads.ts';

/** Questions whose answers the test gives. */
function scene() {
  const asked: PromiseWithResolvers<string>[] = [];
  const reads = new SharedReads<string>();
  const ask = (key: string) => reads.ask(key, () => {
    const question = Promise.withResolvers<string>();
    asked.push(question);
    return question.promise;
  });
  return { reads, asked, ask };
}

describe('equal questions', () => {
  it('that come while one is on its way share the next one, asked when that has ended', async () => {
    const { reads, asked, ask } = scene();
    const first = ask('a');
    const [second, third] = [ask('a'), ask('a')];
    expect(asked).toHaveLength(1);
    asked[0]!.resolve('old');
    expect(await first).toBe('old');
    await Promise.resolve();
    expect(asked).toHaveLength(2);
    const fourth = ask('a');
    asked[1]!.resolve('new');
    expect(await Promise.all([second, third])).toEqual(['new', 'new']);
    await Promise.resolve();
    asked[2]!.resolve('newest');
    expect(await fourth).toBe('newest');
    await Promise.resolve();
    expect(reads.open).toBe(0);
  });

  it('with different keys do not wait for each other', async () => {
    const { asked, ask } = scene();
    const answers = [ask('a'), ask('b')];
    expect(asked).toHaveLength(2);
    asked.forEach((question, index) => { question.resolve(String(index)); });
    expect(await Promise.all(answers)).toEqual(['0', '1']);
  });

  it('go on when one fails, and each failure is told to those who shared it', async () => {
    const { reads, asked, ask } = scene();
    const first = ask('a');
    const second = ask('a');
    asked[0]!.reject(new Error('first'));
    await expect(first).rejects.toThrow('first');
    await Promise.resolve();
    asked[1]!.reject(new Error('second'));
    await expect(second).rejects.toThrow('second');
    await Promise.resolve();
    await Promise.resolve();
    expect(reads.open).toBe(0);
  });
});

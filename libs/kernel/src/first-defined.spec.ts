import { describe, expect, it } from '@jest/globals';
import { firstDefined } from './first-defined.ts';

const never = new Promise<undefined>(() => undefined);

describe('the first who has an answer', () => {
  it('is believed without waiting for the others', async () => {
    expect(await firstDefined([never, Promise.resolve(undefined), Promise.resolve(0)])).toBe(0);
  });

  it('is nobody when all have ended without one', async () => {
    expect(await firstDefined<string>([Promise.resolve(undefined), Promise.resolve(undefined)])).toBeUndefined();
    expect(await firstDefined<string>([])).toBeUndefined();
  });

  it('may fail before another answers', async () => {
    await expect(firstDefined([never, Promise.reject(new Error('gone'))])).rejects.toThrow('gone');
  });
});

import { describe, expect, it } from '@jest/globals';
import { isOutage } from './outage.ts';

const coded = (code: string): Error => Object.assign(new Error(code), { code });

describe('an error of the database', () => {
  it('is an outage when nobody answers, also when it is wrapped', () => {
    expect(isOutage(coded('ECONNREFUSED'))).toBe(true);
    expect(isOutage(Object.assign(new Error('query failed'), { driverError: coded('PROTOCOL_CONNECTION_LOST') }))).toBe(true);
    expect(isOutage(new Error('outer', { cause: coded('ECONNRESET') }))).toBe(true);
    expect(isOutage(Object.assign(new Error('query failed'), { driverError: new Error("Can't add new command when connection is in closed state") }))).toBe(true);
  });

  it('is none when the statement is wrong, or when it wraps itself', () => {
    expect(isOutage(coded('ER_PARSE_ERROR'))).toBe(false);
    expect(isOutage('ECONNREFUSED')).toBe(false);
    const circular: { cause?: unknown } = {};
    circular.cause = circular;
    expect(isOutage(circular)).toBe(false);
  });
});

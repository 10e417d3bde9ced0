import { describe, expect, it } from '@jest/globals';
import { isOutage, outageOf } from './outage.ts';

const coded = (code: string, message = code): Error => Object.assign(new Error(message), { code });

describe('an error of the database', () => {
  it('is an outage when nobody answers, also when it is wrapped', () => {
    expect(isOutage(coded('ECONNREFUSED'))).toBe(true);
    expect(isOutage(Object.assign(new Error('connect ENOENT /run/mysqld/mysqld.sock'), { code: 'ENOENT' }))).toBe(true);
    expect(isOutage(Object.assign(new Error("ENOENT: no such file or directory, open '/x'"), { code: 'ENOENT' }))).toBe(false);
    expect(isOutage(Object.assign(new Error('query failed'), { driverError: coded('PROTOCOL_CONNECTION_LOST') }))).toBe(true);
    expect(isOutage(new Error('outer', { cause: coded('ECONNRESET') }))).toBe(true);
    expect(isOutage(Object.assign(new Error('query failed'), { driverError: new Error("Can't add new command when connection is in closed state") }))).toBe(true);
  });

  it('tells a server that has no room from one that is away', () => {
    expect(outageOf(coded('ECONNREFUSED'))).toBe('away');
    expect(outageOf(Object.assign(new Error('query failed'), { driverError: coded('ER_RECORD_FILE_FULL', "The table 'outbox' is full") }))).toBe('full');
    expect(outageOf(coded('ER_ERROR_ON_WRITE', "Error writing file './aria_log' (errno: 28 \"No space left on device\")"))).toBe('full');
    expect(outageOf(coded('ER_GET_ERRNO', 'Got error 28 "No space left on device" from storage engine InnoDB'))).toBe('full');
    expect(outageOf(coded('ER_GET_ERRNO', 'Got error 168 "Unknown (generic) error from engine" from storage engine InnoDB'))).toBeUndefined();
  });

  it('is none when the statement is wrong, or when it wraps itself', () => {
    expect(isOutage(coded('ER_PARSE_ERROR'))).toBe(false);
    expect(isOutage('ECONNREFUSED')).toBe(false);
    const circular: { cause?: unknown } = {};
    circular.cause = circular;
    expect(isOutage(circular)).toBe(false);
  });
});

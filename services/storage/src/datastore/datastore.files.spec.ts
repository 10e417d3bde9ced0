import { describe, expect, it } from '@jest/globals';
import type { BusClient } from '#bus';
import { HostUnreachable, type HostId } from '#contracts';
import { newUuid, ok, type Result } from '#kernel';
import { holdsVolumes, scanDatastore } from './datastore.files.ts';

const hostId = newUuid() as HostId;

/** What a host says to each question, and after which paths it was asked. */
function told(...answers: Result<unknown>[]): { asked: string[]; bus: Pick<BusClient, 'requestHost'> } {
  const asked: string[] = [];
  const requestHost = (_host: string, _operation: unknown, { after }: { after: string }) => {
    asked.push(after);
    return Promise.resolve(answers[asked.length - 1]);
  };
  return { asked, bus: { requestHost } as unknown as Pick<BusClient, 'requestHost'> };
}
const scan = (bus: Pick<BusClient, 'requestHost'>) => scanDatastore(bus, hostId, '/nas', { as: 'system' });

describe('what lies on a datastore', () => {
  it('is all pages together', async () => {
    const { asked, bus } = told(ok({ files: [1, 2], next: 'b' }), ok({ files: [], next: 'c' }), ok({ files: [3], next: null }));
    expect(await scan(bus)).toEqual(ok([1, 2, 3]));
    expect(asked).toEqual(['', 'b', 'c']);
  });

  it('is not known when a host that has told a part does not answer any more', async () => {
    const fault = HostUnreachable.fail('gone', { hostId });
    expect(await scan(told(ok({ files: [1], next: 'a' }), fault).bus)).toEqual(fault);
  });

  it('is asked for no further than to the first volume where that is all that counts', async () => {
    const { asked, bus } = told(ok({ files: [], next: 'b' }), ok({ files: [1], next: 'c' }));
    expect(await holdsVolumes(bus, hostId, '/nas', { as: 'system' })).toEqual(ok(true));
    expect(asked).toEqual(['', 'b']);
    expect(await holdsVolumes(told(ok({ files: [], next: null })).bus, hostId, '/nas', { as: 'system' })).toEqual(ok(false));
  });

  it('is not asked for without an end', async () => {
    const { asked, bus } = told(ok({ files: [1], next: 'b' }), ok({ files: [1], next: 'b' }));
    expect(await scan(bus)).toMatchObject({ ok: false, fault: { code: 'HOST_COMMAND_FAILED' } });
    expect(asked).toHaveLength(2);
  });
});

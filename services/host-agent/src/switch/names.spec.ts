import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { newUuid } from '#kernel';
import { bondName, bridgeName, dhcpPortName, nicCookie, portGroupCookie, tapName } from './names.ts';

describe('names', () => {
  it('fit the kernel and hold nothing that a shell or ovs-vsctl would read otherwise', () => {
    fc.assert(fc.property(fc.uuid(), (id) => {
      for (const name of [bridgeName(id), bondName(id), tapName(id), dhcpPortName(id)]) expect(name).toMatch(/^[a-z]{2,3}-?[0-9a-f]{12}$/);
      expect(Math.max(...[bridgeName(id), bondName(id), tapName(id), dhcpPortName(id)].map((name) => name.length))).toBeLessThanOrEqual(15);
      expect(nicCookie(id)).toMatch(/^0x1000[0-9a-f]{12}$/);
      expect(portGroupCookie(id)).toMatch(/^0x2000[0-9a-f]{12}$/);
    }), { numRuns: 1_000 });
  });

  it('differ for ids made in the same instant', () => {
    const ids = Array.from({ length: 5_000 }, () => newUuid(1));
    expect(new Set(ids.map(tapName)).size).toBe(ids.length);
  });
});

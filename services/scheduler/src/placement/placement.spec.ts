import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { capacityOf, decide, type HostView, type PlacementRequest } from './placement.ts';

const GiB = 1024 ** 3;
const host = (change: Partial<HostView> = {}): HostView => ({ hostId: 'h1', name: 'host1', clusterId: 'c', connected: true, maintenance: false, stateText: 'connected', vcpusCapacity: 16, memoryCapacity: 16 * GiB, vcpusClaimed: 0, memoryClaimed: 0, ...change });
const request = (change: Partial<PlacementRequest> = {}): PlacementRequest => ({ clusterId: 'c', demand: { vcpus: 2, memoryBytes: GiB }, confinements: [], preferHostId: null, ...change });

describe('placement', () => {
  it.each([
    ['other-cluster', host({ clusterId: 'd' }), request()],
    ['not-connected', host({ connected: false, stateText: 'not-responding' }), request()],
    ['maintenance', host({ maintenance: true }), request()],
    ['memory', host({ memoryClaimed: 15.5 * GiB }), request()],
    ['cpu', host({ vcpusClaimed: 15 }), request()],
    ['datastore', host(), request({ confinements: [{ reason: 'datastore', text: 'does not see it', hostIds: [] }] })],
    ['network', host(), request({ confinements: [{ reason: 'network', text: 'switch not applied', hostIds: [] }] })],
    ['hardware', host(), request({ confinements: [{ reason: 'hardware', text: 'swtpm is not installed there', hostIds: [] }] })],
    ['pinned', host(), request({ confinements: [{ reason: 'pinned', text: 'another host', hostIds: [] }] })],
  ])('refuses with the reason %s', (reason, view, asked) => {
    const { candidates, refusals } = decide([view], asked);
    expect(candidates).toEqual([]);
    expect(refusals).toEqual([expect.objectContaining({ hostId: 'h1', hostName: 'host1', reason })]);
    expect(refusals[0]!.text.length).toBeGreaterThan(5);
  });

  it('says how much is missing', () => {
    expect(decide([host({ memoryClaimed: 15.5 * GiB })], request()).refusals[0]!.text).toBe('has 512 MiB of 16384 MiB unclaimed, 1024 MiB are needed');
  });

  it('takes the emptiest host, and stays where the VM was among equals', () => {
    const hosts = [host({ hostId: 'h1', memoryClaimed: 4 * GiB }), host({ hostId: 'h2' }), host({ hostId: 'h3' })];
    expect(decide(hosts, request()).candidates.map((candidate) => candidate.hostId)).toEqual(['h2', 'h3', 'h1']);
    expect(decide(hosts, request({ preferHostId: 'h3' })).candidates[0]!.hostId).toBe('h3');
  });

  it('puts every host either among the candidates, where it fits, or among the refused', () => {
    const anyHost = fc.record({ clusterId: fc.constantFrom('c', 'd'), connected: fc.boolean(), maintenance: fc.boolean(), vcpusClaimed: fc.integer({ min: 0, max: 20 }), memoryClaimed: fc.integer({ min: 0, max: 20 * GiB }) });
    fc.assert(fc.property(fc.array(anyHost, { maxLength: 20 }), (changes) => {
      const hosts = changes.map((change, index) => host({ ...change, hostId: `h${String(index)}` }));
      const { candidates, refusals } = decide(hosts, request());
      expect([...candidates, ...refusals].map((entry) => entry.hostId).sort()).toEqual(hosts.map((view) => view.hostId).sort());
      for (const { hostId } of candidates) {
        const view = hosts.find((candidate) => candidate.hostId === hostId)!;
        expect(view.memoryClaimed + GiB).toBeLessThanOrEqual(view.memoryCapacity);
        expect(view.vcpusClaimed + 2).toBeLessThanOrEqual(view.vcpusCapacity);
        expect(view.connected && !view.maintenance && view.clusterId === 'c').toBe(true);
      }
    }));
  });

  it('keeps a part of the memory for the host itself', () => {
    expect(capacityOf({ logicalCpus: 4, memoryBytes: 8 * GiB }, { cpuOvercommit: 8, memoryOvercommit: 1 })).toEqual({ vcpus: 32, memoryBytes: 7.5 * GiB });
    expect(capacityOf({ logicalCpus: 4, memoryBytes: 256 * 1024 ** 2 }, { cpuOvercommit: 1, memoryOvercommit: 2 }).memoryBytes).toBe(0);
  });
});

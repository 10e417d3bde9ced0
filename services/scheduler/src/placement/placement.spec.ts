import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { capacityOf, decide, type HostView, type PlacementRequest } from './placement.ts';

const GiB = 1024 ** 3;
const host = (change: Partial<HostView> = {}): HostView => ({ hostId: 'h1', name: 'host1', clusterId: 'c', connected: true, maintenance: false, stateText: 'connected', vcpusCapacity: 16, memoryCapacity: 16 * GiB, vcpusClaimed: 0, memoryClaimed: 0, cpuMhz: 8_000, memoryPhysical: 8 * GiB, cpuReserved: 0, memoryReserved: 0, ...change });
const request = (change: Partial<PlacementRequest> = {}): PlacementRequest => ({ clusterId: 'c', demand: { vcpus: 2, memoryBytes: GiB, cpuReservedMhz: 0, memoryReservedBytes: 0 }, confinements: [], preferHostId: null, ...change });

describe('placement', () => {
  it.each([
    ['other-cluster', host({ clusterId: 'd' }), request()],
    ['not-connected', host({ connected: false, stateText: 'not-responding' }), request()],
    ['maintenance', host({ maintenance: true }), request()],
    ['memory', host({ memoryClaimed: 15.5 * GiB }), request()],
    ['cpu', host({ vcpusClaimed: 15 }), request()],
    ['memory-reservation', host({ memoryReserved: 7.5 * GiB }), request({ demand: { ...request().demand, memoryReservedBytes: GiB } })],
    ['cpu-reservation', host({ cpuReserved: 7_000 }), request({ demand: { ...request().demand, cpuReservedMhz: 1_001 } })],
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

  it('reserves what the host has and no more, whatever the ratios promise, and says so', () => {
    const reserving = (cpuReservedMhz: number, memoryReservedBytes: number) => request({ demand: { ...request().demand, cpuReservedMhz, memoryReservedBytes } });
    const textOf = (view: HostView, asked: PlacementRequest) => decide([view], asked).refusals[0]?.text;
    expect(textOf(host({ cpuReserved: 7_500 }), reserving(600, 0))).toBe('has 500 MHz of 8000 MHz unreserved, 600 MHz are to be reserved');
    expect(textOf(host({ memoryReserved: 7 * GiB }), reserving(0, 2 * GiB))).toBe('has 1024 MiB of 8192 MiB unreserved, 2048 MiB are to be reserved');
    expect(textOf(host({ cpuMhz: 0 }), reserving(1, 0))).toBe('has 0 MHz of 0 MHz unreserved, 1 MHz are to be reserved; what it has is not known yet');
    expect(textOf(host({ cpuReserved: 7_500, memoryReserved: 7 * GiB }), reserving(500, GiB))).toBeUndefined();
    // One whose host has lost memory since, or none that reserves: neither is anybody else's matter.
    expect(textOf(host({ cpuReserved: 9_000, memoryReserved: 9 * GiB, cpuMhz: 0 }), request())).toBeUndefined();
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

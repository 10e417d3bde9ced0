// What a host of the tests tells of itself.
import type { HostInventory } from '#contracts';

export const inventoryOf = ({ first, last }: { first: number; last: number }): HostInventory => ({
  name: 'host1', agentVersion: '1', kernel: '6', qemuVersion: '7.2', ovsVersion: null, accelerator: 'tcg', acceleratorReason: 'no KVM', cpu: { model: 'x', logical: 4, mhz: 1000 },
  memoryBytes: 8 * 1024 ** 3, cgroup: 'v2', uplinks: [], datapath: 'none', vmUids: { from: first, to: last }, tpm: true,
});

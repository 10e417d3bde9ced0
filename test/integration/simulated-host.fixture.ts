// A host without machines: it answers what compute asks of a host and remembers which VMs it runs. For fleets.
import type { NatsConnection } from '@nats-io/transport-node';
import { hostHandler, serveHost, silentLog, type ServingHost } from '#bus';
import { hostStatus, hostVmDelete, hostVmPowerOff, hostVmStart, NotFoundOnHost, type HostId, type HostVmStatus, type ReplyOf, type VmId } from '#contracts';
import { newUuid, ok } from '#kernel';

export interface SimulatedMachine { readonly name: string; readonly logicalCpus: number; readonly memoryBytes: number }

export class SimulatedHost {
  readonly id = newUuid() as HostId;
  readonly vms = new Map<string, HostVmStatus>();
  private serving: ServingHost | undefined;

  constructor(readonly machine: SimulatedMachine, private readonly nats: NatsConnection) {}

  async start(): Promise<void> {
    this.serving = await serveHost(this.nats, this.id, [
      hostHandler(hostStatus, () => Promise.resolve({ inventory: this.inventory(), vms: [...this.vms.values()], unmanaged: [] })),
      hostHandler(hostVmStart, ({ vmId, epoch }) => Promise.resolve(ok(this.set(vmId, 'running', epoch)))),
      hostHandler(hostVmPowerOff, ({ vmId, epoch }) => Promise.resolve(this.vms.has(vmId) ? ok(this.set(vmId, 'stopped', epoch)) : NotFoundOnHost.fail('no such VM', { noun: 'vm', id: vmId }))),
      hostHandler(hostVmDelete, ({ vmId }) => Promise.resolve(this.vms.delete(vmId) ? ok({}) : NotFoundOnHost.fail('no such VM', { noun: 'vm', id: vmId }))),
    ], { log: silentLog });
  }

  async stop(): Promise<void> {
    await this.serving?.close();
  }

  private set(vmId: VmId, state: HostVmStatus['state'], epoch: number): HostVmStatus {
    const running = state === 'running';
    const status: HostVmStatus = {
      vmId, state, epoch, pid: running ? 4711 : null, startedAt: running ? new Date().toISOString() : null, exitReason: running ? null : 'requested', detail: null, saved: null, guestAgent: false, guestAddresses: [], memory: null,
    };
    this.vms.set(vmId, status);
    return status;
  }

  private inventory(): ReplyOf<typeof hostStatus>['inventory'] {
    const { name, logicalCpus, memoryBytes } = this.machine;
    return {
      name, agentVersion: '1', kernel: '6', qemuVersion: '7.2', ovsVersion: null, accelerator: 'tcg', acceleratorReason: 'simulated', cpu: { model: 'simulated', logical: logicalCpus, mhz: 1_000 },
      memoryBytes, cgroup: 'v2', uplinks: [], datapath: 'none', vmUids: { from: 200_000, to: 265_535 }, tpm: true,
    };
  }
}

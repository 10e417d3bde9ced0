// Ports of NICs: each with a MAC and, where its port group has a subnet, an IP address that no other port has.
import { Inject, Injectable } from '@nestjs/common';
import type { DataSource, EntityManager } from 'typeorm';
import { decided, type BusContext } from '#bus';
import { AddressTaken, discardPorts, InvalidArgument, movePort, NoFreeAddress, NotFound, portChanged, provisionPort } from '#contracts';
import type { InputOf, listPorts, ReplyOf, SubnetId, wiringOfVm } from '#contracts';
import { whoOf } from '#database';
import { FaultError, ok, orThrow } from '#kernel';
import type { Result } from '#kernel';
import { Db } from '#service';
import { emit, runCommand } from '#tasks';
import { findPortGroups, lockPortGroup } from '../port-group/port-group.store.ts';
import type { PortGroup } from '../port-group/port-group.store.ts';
import { assignable, checkWanted, firstFree, formatIpv4, parseNet, searchWindows } from '../subnet/subnet.ts';
import { findSubnets, lockPool, moveCursor } from '../subnet/subnet.store.ts';
import type { AddressPool, Subnet } from '../subnet/subnet.store.ts';
import { carryingHosts, commonHosts } from '../switch/switch.ts';
import type { StoredSwitch } from '../switch/switch.ts';
import { findSwitches } from '../switch/switch.store.ts';
import { randomMac } from './mac.ts';
import { countIn, deletePorts, findPort, insertPort, listPorts as listRows, lockPort, nextPortNumber, portsOfVm, rewirePort, takenIn } from './port.store.ts';
import type { Port, PortFilter } from './port.store.ts';

type Provision = InputOf<typeof provisionPort>;
const windowSize = 1024;
const mostMacTries = 20;

@Injectable()
export class PortService {
  constructor(@Inject(Db) private readonly db: DataSource) {}

  /** The port's id is the caller's: asked again, in whatever way, the first answer stands. */
  provision(input: Provision, ctx: BusContext): Promise<Result<Port>> {
    return runCommand(this.db, { ctx, operation: provisionPort, input }, async (tx) => {
      const first = await findPort(tx, input.portId);
      if (first !== undefined) return first;
      await requireGroup(tx, input.portGroupId);
      const address = await assign(tx, input);
      const port = await addPort(tx, input, address);
      decided(ctx, wordOfAddress(port.ip, input.ip), { portGroupId: port.portGroupId, ip: port.ip });
      await emit(tx, portChanged, { objectId: port.id, ctx, data: { port, gone: false } });
      return port;
    });
  }

  /** One that is there already stays as it is. */
  move(input: InputOf<typeof movePort>, ctx: BusContext): Promise<Result<Port>> {
    return runCommand(this.db, { ctx, operation: movePort, input }, async (tx) => {
      const port = await lockPort(tx, input.portId);
      if (port === undefined) throw new FaultError(NotFound.fault('There is no port with this id.', { noun: 'port', id: input.portId }));
      if (port.portGroupId === input.portGroupId && (input.ip === null || input.ip === port.ip)) return port;
      await requireGroup(tx, input.portGroupId);
      const address = await assign(tx, input);
      await rewirePort(tx, port.id, { portGroupId: input.portGroupId, subnetId: address?.subnetId ?? null, ip: address?.ip ?? null });
      const moved = (await findPort(tx, port.id)) ?? port;
      decided(ctx, wordOfAddress(moved.ip, input.ip), { portGroupId: moved.portGroupId, ip: moved.ip });
      await emit(tx, portChanged, { objectId: port.id, ctx, data: { port: moved, gone: false } });
      return moved;
    });
  }

  discard(input: InputOf<typeof discardPorts>, ctx: BusContext): Promise<Result<ReplyOf<typeof discardPorts>>> {
    return runCommand(this.db, { ctx, operation: discardPorts, input }, async (tx) => {
      const ports = (await portsOfVm(tx, input.vmId)).filter(({ nicId }) => input.nicId === undefined || nicId === input.nicId);
      await deletePorts(tx, ports.map(({ id }) => id));
      for (const port of ports) await emit(tx, portChanged, { objectId: port.id, ctx, data: { port, gone: true } });
      return {};
    });
  }

  list(input: PortFilter, ctx: BusContext): Promise<Result<ReplyOf<typeof listPorts>>> {
    return listRows(this.db, whoOf(ctx), input);
  }

  async wiring({ vmId }: InputOf<typeof wiringOfVm>): Promise<Result<ReplyOf<typeof wiringOfVm>>> {
    const ports = await portsOfVm(this.db, vmId);
    const groups = new Map((await findPortGroups(this.db, ports.map((port) => port.portGroupId))).map((group) => [group.id, group]));
    const switches = new Map((await findSwitches(this.db, [...groups.values()].map((group) => group.switchId))).map((stored) => [stored.id, stored]));
    const subnets = new Map((await findSubnets(this.db, ports.flatMap((port) => port.subnetId ?? []))).map((subnet) => [subnet.id, subnet]));
    const nics = ports.flatMap((port) => {
      const group = groups.get(port.portGroupId);
      const carrier = group && switches.get(group.switchId);
      return group && carrier ? [nicOf(port, group, carrier, port.subnetId === null ? undefined : subnets.get(port.subnetId))] : [];
    });
    return ok({ nics, hostIds: commonHosts([...switches.values()].map(carryingHosts)) });
  }
}

function nicOf(port: Port, group: PortGroup, carrier: StoredSwitch, subnet: Subnet | undefined): ReplyOf<typeof wiringOfVm>['nics'][number] {
  const net = subnet && orThrow(parseNet(subnet.cidr));
  return {
    nicId: port.nicId, portId: port.id, portGroupId: port.portGroupId, switchId: carrier.id, mac: port.mac, vlan: group.vlan, mtu: carrier.mtu, ip: port.ip,
    subnet: subnet && net ? { subnetId: subnet.id, network: formatIpv4(net.network), prefix: net.prefix, gateway: subnet.gateway, dns: subnet.dns, leaseSeconds: subnet.leaseSeconds } : null,
  };
}

/** Until it is assigned, an address that nobody named may become another one. */
const wordOfAddress = (ip: string | null, asked: string | null): string =>
  (ip === null ? 'the NIC gets no address: its port group has no subnet' : `the NIC gets ${asked === null ? `a free address, such as ${ip}` : ip}`);

async function requireGroup(tx: EntityManager, portGroupId: string): Promise<void> {
  if ((await lockPortGroup(tx, portGroupId, 'share')) !== undefined) return;
  throw new FaultError(NotFound.fault('There is no port group with this id.', { noun: 'port-group', id: portGroupId }));
}

interface Address { readonly subnetId: SubnetId; readonly ip: number }

/** An address of the port group's subnet; null where it has none. The subnet stays locked until the transaction ends. */
async function assign(tx: EntityManager, input: Pick<Provision, 'portGroupId' | 'ip'>): Promise<Address | null> {
  const pool = await lockPool(tx, input.portGroupId);
  if (pool === undefined) {
    if (input.ip === null) return null;
    throw new FaultError(InvalidArgument.fault('ip: the port group has no subnet.', { issues: [{ path: 'ip', message: 'the port group has no subnet' }] }));
  }
  const { subnetId } = pool;
  if (input.ip === null) return { subnetId, ip: await nextFree(tx, pool) };
  const ip = orThrow(checkWanted(pool.range, pool.gateway, input.ip));
  if ((await takenIn(tx, subnetId, { from: ip, to: ip })).size > 0) throw new FaultError(AddressTaken.fault('Another NIC has this address.', { address: input.ip }));
  return { subnetId, ip };
}

async function nextFree(tx: EntityManager, pool: AddressPool): Promise<number> {
  const { subnetId, range, gateway, cursor } = pool;
  if ((await countIn(tx, subnetId)) < assignable(range, gateway)) {
    for (const window of searchWindows(range, cursor, windowSize)) {
      const ip = firstFree(window, gateway, await takenIn(tx, subnetId, window));
      if (ip === undefined) continue;
      await moveCursor(tx, subnetId, ip + 1);
      return ip;
    }
  }
  throw new FaultError(NoFreeAddress.fault('Every address of the subnet is assigned.', { subnetId }));
}

async function addPort(tx: EntityManager, input: Provision, address: Address | null): Promise<Port> {
  const row = { id: input.portId, portGroupId: input.portGroupId, vmId: input.vmId, nicId: input.nicId, subnetId: address?.subnetId ?? null, ip: address?.ip ?? null, ownerId: input.ownerId, folderId: input.folderId };
  const number = await nextPortNumber(tx);
  for (let tries = 0; tries < mostMacTries; tries++) {
    const mac = input.mac ?? randomMac();
    if (await insertPort(tx, { ...row, mac }, number)) {
      const port = await findPort(tx, input.portId);
      if (port === undefined) throw new Error('a port vanished inside of a transaction');
      return port;
    }
    if (input.mac !== null) throw new FaultError(AddressTaken.fault('Another NIC has this MAC address.', { address: mac }));
  }
  throw new FaultError(AddressTaken.fault('No free MAC address was found.', { address: '52:54:00:*' }));
}

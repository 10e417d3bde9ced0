// Distributed switches, port groups, subnets and the ports of NICs with their addresses.
import { z } from 'zod';
import { defineCommand, defineEvent, defineQuery } from '../define.ts';
import { AddressTaken, Busy, HostUnreachable, InUse, InvalidArgument, NameTaken, NoFreeAddress, NotFound, VersionConflict } from '../errors.ts';
import { FolderId, HostId, NicId, PortGroupId, PortId, SubnetId, SwitchId, UserId, VmId } from '../ids.ts';
import { listInput, searchInput } from '../list.ts';
import { Cidr4, Description, Done, Ipv4, Mac, Name, objectFields, ownedFields, pageOf, TaskRef, VlanId } from '../values.ts';
import { HostNic } from '../host/shapes.ts';

/** The physical interfaces a host gives the switch, by the names its agent reports. */
export const Uplink = z.strictObject({ hostId: HostId, names: z.array(z.string().regex(/^[A-Za-z0-9_.-]{1,64}$/)).min(1).max(8) });
const Mtu = z.int().min(576).max(9216);
export const DistributedSwitch = z.strictObject({
  id: SwitchId, name: Name, description: Description, mtu: Mtu, uplinks: z.array(Uplink),
  hosts: z.array(z.strictObject({ hostId: HostId, state: z.enum(['pending', 'applied', 'failed']), reason: z.string().nullable() })), ...objectFields,
}).meta({ id: 'DistributedSwitch' });
const uplinks = z.array(Uplink).max(1000).refine((list) => new Set(list.map((uplink) => uplink.hostId)).size === list.length, 'each host once');
export const createSwitch = defineCommand('network.switch.create', { dryRun: true, summary: 'Create a distributed switch and tie it to uplinks', http: 'POST /v1/switches', permission: 'network.write', input: z.strictObject({ name: Name, description: Description.default(''), mtu: Mtu.default(1500), uplinks: uplinks.default([]) }), reply: TaskRef, errors: [NameTaken, NotFound] });
export const updateSwitch = defineCommand('network.switch.update', { dryRun: true, summary: 'Change a switch or its uplinks', http: 'PATCH /v1/switches/:switchId', permission: 'network.write', on: 'switchId', input: z.strictObject({ switchId: SwitchId, name: Name.optional(), description: Description.optional(), mtu: Mtu.optional(), uplinks: uplinks.optional(), version: z.int().optional() }), reply: TaskRef, errors: [NotFound, NameTaken, Busy, VersionConflict] });
export const listSwitches = defineQuery('network.switch.list', { summary: 'List distributed switches', http: 'GET /v1/switches', permission: 'network.read', input: z.strictObject({ ...listInput(DistributedSwitch, ['createdAt', 'name']), ...searchInput(), name: Name.optional() }), reply: pageOf(DistributedSwitch) });
export const getSwitch = defineQuery('network.switch.get', { summary: 'Show a distributed switch', http: 'GET /v1/switches/:switchId', permission: 'network.read', on: 'switchId', input: z.strictObject({ switchId: SwitchId }), reply: DistributedSwitch, errors: [NotFound] });
export const deleteSwitch = defineCommand('network.switch.delete', { dryRun: true, summary: 'Delete a switch without port groups', http: 'DELETE /v1/switches/:switchId', permission: 'network.write', on: 'switchId', input: z.strictObject({ switchId: SwitchId }), reply: TaskRef, errors: [NotFound, InUse, Busy] });

export const PortGroup = z.strictObject({ id: PortGroupId, switchId: SwitchId, name: Name, description: Description, vlan: VlanId.describe('0 = untagged'), ports: z.int(), ...objectFields }).meta({ id: 'PortGroup' });
export const createPortGroup = defineCommand('network.port-group.create', { dryRun: true, summary: 'Create a port group on a switch, with its VLAN', http: 'POST /v1/port-groups', permission: 'network.write', input: z.strictObject({ switchId: SwitchId, name: Name, description: Description.default(''), vlan: VlanId.default(0) }), reply: PortGroup, errors: [NameTaken, NotFound] });
export const updatePortGroup = defineCommand('network.port-group.update', { dryRun: true, summary: 'Rename a port group', http: 'PATCH /v1/port-groups/:portGroupId', permission: 'network.write', on: 'portGroupId', input: z.strictObject({ portGroupId: PortGroupId, name: Name.optional(), description: Description.optional(), version: z.int().optional() }), reply: PortGroup, errors: [NotFound, NameTaken, VersionConflict] });
export const listPortGroups = defineQuery('network.port-group.list', { summary: 'List port groups', http: 'GET /v1/port-groups', permission: 'network.read', input: z.strictObject({ ...listInput(PortGroup, ['createdAt', 'name']), ...searchInput(), name: Name.optional(), switchId: SwitchId.optional() }), reply: pageOf(PortGroup) });
export const getPortGroup = defineQuery('network.port-group.get', { summary: 'Show a port group', http: 'GET /v1/port-groups/:portGroupId', permission: 'network.read', on: 'portGroupId', input: z.strictObject({ portGroupId: PortGroupId }), reply: PortGroup, errors: [NotFound] });
export const deletePortGroup = defineCommand('network.port-group.delete', { dryRun: true, summary: 'Delete a port group without ports and subnets', http: 'DELETE /v1/port-groups/:portGroupId', permission: 'network.write', on: 'portGroupId', input: z.strictObject({ portGroupId: PortGroupId }), reply: Done, errors: [NotFound, InUse] });

export const Subnet = z.strictObject({ id: SubnetId, portGroupId: PortGroupId, name: Name, cidr: Cidr4, gateway: Ipv4.nullable(), dns: z.array(Ipv4), range: z.strictObject({ from: Ipv4, to: Ipv4 }), leaseSeconds: z.int(), addresses: z.strictObject({ total: z.int(), used: z.int() }), ...objectFields }).meta({ id: 'Subnet' });
export const createSubnet = defineCommand('network.subnet.create', {
  dryRun: true,
  summary: 'Give a port group a subnet, whose addresses are assigned to VMs and answered by DHCP', http: 'POST /v1/subnets', permission: 'network.write',
  input: z.strictObject({ portGroupId: PortGroupId, name: Name, cidr: Cidr4, gateway: Ipv4.nullable().default(null), dns: z.array(Ipv4).max(4).default([]), range: z.strictObject({ from: Ipv4, to: Ipv4 }).optional(), leaseSeconds: z.int().min(120).max(7 * 86_400).default(3600) }), reply: Subnet, errors: [NameTaken, NotFound, InUse, InvalidArgument],
});
export const listSubnets = defineQuery('network.subnet.list', { summary: 'List subnets', http: 'GET /v1/subnets', permission: 'network.read', input: z.strictObject({ ...listInput(Subnet, ['createdAt', 'name']), ...searchInput(), name: Name.optional(), portGroupId: PortGroupId.optional() }), reply: pageOf(Subnet) });
export const getSubnet = defineQuery('network.subnet.get', { summary: 'Show a subnet', http: 'GET /v1/subnets/:subnetId', permission: 'network.read', on: 'subnetId', input: z.strictObject({ subnetId: SubnetId }), reply: Subnet, errors: [NotFound] });
export const deleteSubnet = defineCommand('network.subnet.delete', { dryRun: true, summary: 'Delete a subnet without assigned addresses', http: 'DELETE /v1/subnets/:subnetId', permission: 'network.write', on: 'subnetId', input: z.strictObject({ subnetId: SubnetId }), reply: Done, errors: [NotFound, InUse] });

export const Port = z.strictObject({ id: PortId, portGroupId: PortGroupId, vmId: VmId, nicId: NicId, mac: Mac, ip: Ipv4.nullable(), subnetId: SubnetId.nullable(), ...ownedFields }).meta({ id: 'Port' });
export const listPorts = defineQuery('network.port.list', { summary: 'List ports with their MAC and IP addresses', http: 'GET /v1/ports', permission: 'network.read', input: z.strictObject({ ...listInput(Port, ['createdAt']), portGroupId: PortGroupId.optional(), vmId: VmId.optional(), ip: Ipv4.optional(), mac: Mac.optional() }), reply: pageOf(Port) });

// For other services, inside their tasks.
export const provisionPort = defineCommand('network.port.provision', {
  dryRun: true,
  summary: 'Make the port of a NIC: MAC and IP address assigned, once per NIC', permission: 'internal',
  input: z.strictObject({ portId: PortId, vmId: VmId, nicId: NicId, portGroupId: PortGroupId, ip: Ipv4.nullable(), mac: Mac.nullable(), ownerId: UserId.nullable(), folderId: FolderId.nullable() }), reply: Port, errors: [NotFound, NoFreeAddress, AddressTaken],
});
export const discardPorts = defineCommand('network.port.discard', { dryRun: true, summary: 'Give back the ports and addresses of a VM, or of one of its NICs', permission: 'internal', input: z.strictObject({ vmId: VmId, nicId: NicId.optional() }), reply: Done });
export const movePort = defineCommand('network.port.move', {
  dryRun: true,
  summary: 'Put a port on another port group or address; its MAC stays', permission: 'internal',
  input: z.strictObject({ portId: PortId, portGroupId: PortGroupId, ip: Ipv4.nullable().describe('null = the one it has if it is there already, else one that is free') }), reply: Port, errors: [NotFound, NoFreeAddress, AddressTaken],
});
export const wiringOfVm = defineQuery('network.port.wiring', { summary: 'What a host needs to plug a VM’s NICs in, and which hosts have its switches applied', permission: 'internal', input: z.strictObject({ vmId: VmId }), reply: z.strictObject({ nics: z.array(HostNic.omit({ slot: true, bootIndex: true })), hostIds: z.array(HostId).nullable().describe('null = any host: the VM has no NIC') }), errors: [NotFound, HostUnreachable] });
export const checkPortGroups = defineQuery('network.port-group.check', { summary: 'Whether port groups exist and which hosts have their switches applied', permission: 'internal', input: z.strictObject({ portGroupIds: z.array(PortGroupId).max(16) }), reply: z.strictObject({ hostIds: z.array(HostId).nullable() }), errors: [NotFound] });

export const switchChanged = defineEvent('network.switch.changed', { summary: 'A switch was made, changed or applied', data: z.strictObject({ switch: DistributedSwitch }) });
export const switchDeleted = defineEvent('network.switch.deleted', { summary: 'A switch is gone', data: z.strictObject({ switchId: SwitchId }) });
export const portGroupChanged = defineEvent('network.port-group.changed', { summary: 'A port group was made or changed', data: z.strictObject({ portGroup: PortGroup }) });
export const portGroupDeleted = defineEvent('network.port-group.deleted', { summary: 'A port group is gone', data: z.strictObject({ portGroupId: PortGroupId }) });
export const subnetChanged = defineEvent('network.subnet.changed', { summary: 'A subnet was made or changed', data: z.strictObject({ subnet: Subnet }) });
export const subnetDeleted = defineEvent('network.subnet.deleted', { summary: 'A subnet is gone', data: z.strictObject({ subnetId: SubnetId }) });
export const portChanged = defineEvent('network.port.changed', { summary: 'A port was made or given back', data: z.strictObject({ port: Port, gone: z.boolean() }) });

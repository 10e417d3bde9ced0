import { describe, expect, it } from '@jest/globals';
import { bridgeFlows, nicFlows, portGroupFlows } from './flows.ts';

const nicId = '01900000-0000-7000-8000-0000000000aa';
const nic = { nicId, port: 'tap1', mac: '52:54:00:00:00:01', ip: '10.0.0.5', dhcpPort: 'dhc1' };
const own = 'in_port=tap1,dl_src=52:54:00:00:00:01,vlan_tci=0x0000/0x1000';
const cookie = 'cookie=0x10000000000000aa';

describe('the rules', () => {
  it('of a NIC with an assigned address', () => {
    expect(nicFlows(nic)).toEqual([
      `delete ${cookie}/-1`,
      `add ${cookie},priority=210,in_port=tap1,udp,tp_src=67,tp_dst=68,actions=drop`,
      `add ${cookie},priority=50,in_port=tap1,actions=drop`,
      `add ${cookie},priority=220,in_port=dhc1,udp,tp_src=67,tp_dst=68,dl_dst=52:54:00:00:00:01,actions=output:tap1`,
      `add ${cookie},priority=200,${own},udp,tp_src=68,tp_dst=67,nw_src=0.0.0.0,actions=set_field:ff:ff:ff:ff:ff:ff->eth_dst,set_field:0.0.0.0->ip_src,set_field:255.255.255.255->ip_dst,output:dhc1`,
      `add ${cookie},priority=200,${own},udp,tp_src=68,tp_dst=67,nw_src=10.0.0.5,actions=set_field:ff:ff:ff:ff:ff:ff->eth_dst,set_field:0.0.0.0->ip_src,set_field:255.255.255.255->ip_dst,output:dhc1`,
      `add ${cookie},priority=190,in_port=tap1,udp,tp_dst=67,actions=drop`,
      `add ${cookie},priority=180,udp,tp_src=67,tp_dst=68,dl_dst=52:54:00:00:00:01,actions=drop`,
      `add ${cookie},priority=110,${own},arp,arp_sha=52:54:00:00:00:01,arp_spa=10.0.0.5,actions=NORMAL`,
      `add ${cookie},priority=110,${own},arp,arp_sha=52:54:00:00:00:01,arp_spa=0.0.0.0,actions=NORMAL`,
      `add ${cookie},priority=110,${own},ip,nw_src=10.0.0.5,actions=NORMAL`,
      `add ${cookie},priority=110,${own},dl_type=0x8035,actions=NORMAL`,
    ]);
  });

  it('of a NIC without address check the MAC, in ARP too', () => {
    expect(nicFlows({ ...nic, ip: null, dhcpPort: null })).toEqual([
      `delete ${cookie}/-1`,
      `add ${cookie},priority=210,in_port=tap1,udp,tp_src=67,tp_dst=68,actions=drop`,
      `add ${cookie},priority=50,in_port=tap1,actions=drop`,
      `add ${cookie},priority=110,${own},arp,arp_sha=52:54:00:00:00:01,actions=NORMAL`,
      `add ${cookie},priority=105,in_port=tap1,arp,actions=drop`,
      `add ${cookie},priority=100,${own},actions=NORMAL`,
    ]);
  });

  it('of a port group keep foreign DHCP replies out and its own DHCP port to itself', () => {
    const group = { portGroupId: nicId, vlan: 20, dhcpPort: 'dhc1', ports: ['tap1', 'tap2'], uplinks: ['eth1'] };
    expect(portGroupFlows(group)).toEqual([
      'delete cookie=0x20000000000000aa/-1',
      'add cookie=0x20000000000000aa,priority=220,in_port=dhc1,udp,tp_src=67,tp_dst=68,dl_dst=ff:ff:ff:ff:ff:ff,actions=output:tap1,output:tap2',
      'add cookie=0x20000000000000aa,priority=210,in_port=eth1,dl_vlan=20,udp,tp_src=67,tp_dst=68,actions=drop',
      'add cookie=0x20000000000000aa,priority=50,in_port=dhc1,actions=drop',
    ]);
    expect(portGroupFlows({ ...group, vlan: 0 })[2]).toContain('in_port=eth1,vlan_tci=0x0000/0x1000,udp');
  });

  it('of a bridge pass what comes from an uplink and nothing in the isolated VLAN', () => {
    expect(bridgeFlows(['eth1'])).toEqual([
      'delete cookie=0x746f6b0000000001/-1',
      'add cookie=0x746f6b0000000001,priority=170,dl_vlan=4095,actions=drop',
      'add cookie=0x746f6b0000000001,priority=100,in_port=eth1,actions=NORMAL',
    ]);
  });
});

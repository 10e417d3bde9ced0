import { describe, expect, it } from '@jest/globals';
import { dnsmasqConfig, dnsmasqHosts, netmaskOf } from './dhcp-config.ts';
import { oneAtATime } from './turns.ts';

const subnet = { subnetId: '01900000-0000-7000-8000-000000000001', network: '10.0.0.0', prefix: 22, gateway: '10.0.0.1', dns: ['10.0.0.2', '10.0.0.3'], leaseSeconds: 3600 };
const hosts = [
  { mac: '52:54:00:00:00:02', ip: '10.0.0.6', mtu: 1500, subnet },
  { mac: '52:54:00:00:00:01', ip: '10.0.0.5', mtu: 1500, subnet },
];
const paths = { hosts: '/d/hosts', pid: '/d/pid', log: '/d/log' };
const tag = 's01900000000070008000000000000001m1500';

describe('the DHCP configuration', () => {
  it('names each assigned address once, whatever the order', () => {
    expect(dnsmasqHosts(hosts)).toBe(`52:54:00:00:00:01,set:${tag},10.0.0.5,3600\n52:54:00:00:00:02,set:${tag},10.0.0.6,3600\n`);
    expect(dnsmasqHosts([...hosts].reverse())).toBe(dnsmasqHosts(hosts));
    expect(dnsmasqConfig('dhc1', [...hosts].reverse(), paths)).toBe(dnsmasqConfig('dhc1', hosts, paths));
  });

  it('has one range per subnet with its options', () => {
    const lines = dnsmasqConfig('dhc1', hosts, paths).split('\n');
    expect(lines.filter((line) => /^(shared-network|dhcp-range|dhcp-option)/.test(line))).toEqual([
      'shared-network=dhc1,10.0.0.0', 'dhcp-range=10.0.0.0,static,255.255.252.0,3600',
      `dhcp-option=tag:${tag},option:router,10.0.0.1`, `dhcp-option=tag:${tag},option:dns-server,10.0.0.2,10.0.0.3`, `dhcp-option=tag:${tag},option:mtu,1500`,
    ]);
    expect(lines).toContain('dhcp-ignore=tag:!known');
  });

  it('says that there is no router rather than naming itself', () => {
    const lines = dnsmasqConfig('dhc1', [{ ...hosts[0]!, subnet: { ...subnet, gateway: null, dns: [] } }], paths).split('\n');
    expect(lines).toContain(`dhcp-option=tag:${tag},option:router`);
    expect(lines).toContain(`dhcp-option=tag:${tag},option:dns-server`);
  });

  it('writes masks of every length', () => {
    expect([8, 20, 24, 30].map(netmaskOf)).toEqual(['255.0.0.0', '255.255.240.0', '255.255.255.0', '255.255.255.252']);
  });
});

describe('turns', () => {
  it('keep their order and go on after a failure', async () => {
    const inTurn = oneAtATime();
    const seen: string[] = [];
    const first = inTurn(async () => { await Promise.resolve(); seen.push('first'); throw new Error('broken'); });
    const second = inTurn(async () => { seen.push('second'); return 2; });
    await expect(first).rejects.toThrow('broken');
    expect(await second).toBe(2);
    expect(seen).toEqual(['first', 'second']);
  });
});

// What is believed of a guest: its agent is played by a server on a socket that says what a test wants.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HostDisk, HostNic } from '#contracts';
import { silentLog } from '#bus';
import { GuestVoice } from './guest-word.socket.ts';

let dir: string;
let server: Server;
let answers: Record<string, unknown>;
/** Questions that are met with a hang-up first. */
let deaf: number;
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'tok-qga-'));
  [answers, deaf] = [{}, 0];
  server = createServer((socket) => {
    socket.on('error', () => undefined).setEncoding('utf8').on('data', (text: string) => {
      for (const line of text.split('\n').filter(Boolean)) {
        const { execute, arguments: given, id } = JSON.parse(line) as { execute: string; arguments?: { id: number }; id: number };
        if (execute === 'guest-sync-delimited') socket.write(`${JSON.stringify({ return: given?.id, id })}\n`);
        else if (deaf-- > 0) socket.destroy();
        else socket.write(`${JSON.stringify(execute in answers ? { return: answers[execute], id } : { error: { class: 'CommandNotFound', desc: 'no' }, id })}\n`);
      }
    });
  });
  await new Promise<void>((resolve) => { server.listen(join(dir, 'qga'), resolve); });
});
afterEach(() => {
  server.close();
  rmSync(dir, { recursive: true });
});

const id = '01890000-0000-7000-8000-000000000001';
const disk = (slot: number, bus: 'virtio' | 'scsi' | 'sata' = 'virtio'): HostDisk => HostDisk.parse({
  diskId: id, slot, bus, readOnly: false, bootIndex: null, place: { volumeId: id, datastoreId: id, datastorePath: '/d', relativePath: `volumes/${id}.qcow2`, format: 'qcow2' },
});
const voice = (there = true): GuestVoice => new GuestVoice({ vmId: id, socket: join(dir, 'qga'), log: silentLog, answers: () => there });
/** Each port is a bus of its own: the disk in slot n is alone on bus n + 1; the SCSI controller is on bus 0. */
const monitor = { pciAddress: (device: string) => Promise.resolve(device === 'scsi' ? { bus: 0, slot: 5, function: 0 } : { bus: Number(device.at(-1)) + 1, slot: 0, function: 0 }) };
const at = (bus: number, slot: number, unit = 0) => ({ 'pci-controller': { bus, slot, function: 0, domain: 0 }, 'bus-type': 'x', bus: 0, target: 0, unit });

describe('mount points', () => {
  const ask = (of: HostDisk, there?: boolean): Promise<string[]> => voice(there).mountPoints(monitor, of);
  beforeEach(() => {
    answers['guest-get-fsinfo'] = [
      { name: 'vda1', mountpoint: '/', disk: [at(1, 0)] }, { name: 'dm-0', mountpoint: '/srv', disk: [at(2, 0), at(3, 0)] }, { name: 'vdb', mountpoint: '/data', disk: [at(2, 0)] },
      { name: 'sdb', mountpoint: '/scsi', disk: [at(0, 5, 1)] }, { name: 'tmpfs', mountpoint: '/run' },
    ];
  });
  test('are those on the disk, also where a file system spans several', async () => {
    expect(await Promise.all([disk(0), disk(1), disk(2), disk(3)].map((one) => ask(one)))).toEqual([['/'], ['/data', '/srv'], ['/srv'], []]);
  });
  test('of a SCSI disk are told apart by its unit', async () => {
    expect(await Promise.all([disk(0, 'scsi'), disk(1, 'scsi')].map((one) => ask(one)))).toEqual([[], ['/scsi']]);
  });
  test('are asked for again when the agent was busy with somebody else', async () => {
    deaf = 2;
    expect(await ask(disk(0))).toEqual(['/']);
  });
  test('are none where nobody answers, or says nonsense', async () => {
    expect(await ask(disk(0), false)).toEqual([]);
    answers['guest-get-fsinfo'] = [{ mountpoint: 7 }];
    expect(await ask(disk(0))).toEqual([]);
  });
  test('are shown without what could disturb a terminal', async () => {
    answers['guest-get-fsinfo'] = [{ mountpoint: '/a\u001b[2Jb', disk: [at(1, 0)] }];
    expect(await ask(disk(0))).toEqual(['/a?[2Jb']);
  });
});

describe('a new device', () => {
  test('is confirmed when the guest shows it', async () => {
    answers['guest-get-disks'] = [{ name: '/dev/ram0', partition: false }, { name: '/dev/vdb1', partition: true, address: at(9, 0) }];
    const word = voice().showsDisk(monitor, disk(1));
    answers['guest-get-disks'] = [{ name: '/dev/vdb', partition: false, address: at(2, 0) }];
    expect(await word).toBe('confirmed');
    answers['guest-network-get-interfaces'] = [{ name: 'eth1', 'hardware-address': '52:54:00:00:00:07' }];
    const nic = HostNic.parse({ nicId: id, slot: 1, portId: id, portGroupId: id, switchId: id, mac: '52:54:00:00:00:07', vlan: 0, mtu: 1500, ip: null, subnet: null, bootIndex: null });
    expect(await voice().showsNic(nic)).toBe('confirmed');
  });
  test('is not asked for without an agent', async () => {
    expect(await voice(false).showsDisk(monitor, disk(1))).toBe('not-asked');
  });
});

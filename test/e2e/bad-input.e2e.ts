// Bad input: every row of the table is refused with a code, a sentence and the field, and afterwards nothing has changed.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { TaskRef } from '#contracts';
import { holdings } from './holdings.ts';
import type { Holdings } from './holdings.ts';
import { removeOwn, small } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let before: Holdings;
beforeAll(async () => {
  world = await openWorld('bad');
  before = await holdings(world);
});
afterAll(() => removeOwn(world));

const uuid = '01890000-0000-7000-8000-000000000000';
const tricks = [
  '$(touch /tmp/tok)', '`id`', 'a;reboot', 'a|cat /etc/passwd', 'a && b', "a' OR '1'='1", 'x"; DROP TABLE vm; --', '../../etc/passwd', '/etc/passwd', '..', '.', 'a/b', 'a\\b',
  'a\u0000b', 'a\nb', '-rf', '--help', ',server=on', 'a,readonly=off', '%2e%2e%2f', '<script>alert(1)</script>', '{{7*7}}', '${jndi:ldap://x}', '', ' ', 'x'.repeat(64), 'ends with space ',
];
const vm = (change: object): object => ({ ...small(world, 'vm', { start: false }), ...change });

/** What is wrong, the request's change over a good one, and the field that the answer must name. */
const vmTable: readonly (readonly [string, object, string])[] = [
  ['an unknown field', { color: 'blue' }, 'color'],
  ['an unknown field inside', { nics: [{ portGroupId: uuid, vlan: 7 }] }, 'nics'],
  ['an internal field', { ownerId: uuid }, 'ownerId'],
  ['an internal field of the row', { uid: 0 }, 'uid'],
  ['a name of another type', { name: 17 }, 'name'],
  ['a list as name', { name: ['a'] }, 'name'],
  ['an object as name', { name: { $gt: '' } }, 'name'],
  ['no name', { name: null }, 'name'],
  ['memory as text', { memoryBytes: '128M' }, 'memoryBytes'],
  ['memory below the least', { memoryBytes: 1 }, 'memoryBytes'],
  ['negative memory', { memoryBytes: -1048576 }, 'memoryBytes'],
  ['memory that is no whole MiB', { memoryBytes: 16_777_217 }, 'memoryBytes'],
  ['memory beyond all machines', { memoryBytes: 2 ** 60 }, 'memoryBytes'],
  ['memory beyond exact numbers', { memoryBytes: 1e30 }, 'memoryBytes'],
  ['a fraction of a CPU', { cpu: { sockets: 0.5, cores: 1, threads: 1 } }, 'cpu'],
  ['no CPU', { cpu: { sockets: 0, cores: 1, threads: 1 } }, 'cpu'],
  ['too many CPUs', { cpu: { sockets: 64, cores: 128, threads: 8 } }, 'cpu'],
  ['an id that is none', { templateId: 'tiny' }, 'templateId'],
  ['a path as id', { templateId: '../../../etc/passwd' }, 'templateId'],
  ['an upper-case id', { templateId: uuid.toUpperCase().replace('0189', 'ABCD') }, 'templateId'],
  ['a disk of nothing', { disks: [{ sizeBytes: 0 }] }, 'disks'],
  ['a disk that is no whole sector', { disks: [{ sizeBytes: 1048577 }] }, 'disks'],
  ['a disk of a petabyte', { disks: [{ sizeBytes: 2 ** 50 }] }, 'disks'],
  ['seventeen disks', { disks: Array.from({ length: 17 }, () => ({ sizeBytes: 1048576 })) }, 'disks'],
  ['a bus of fancy', { disks: [{ sizeBytes: 1048576, bus: 'virtio,readonly=off' }] }, 'disks'],
  ['nine NICs', { nics: Array.from({ length: 9 }, () => ({ portGroupId: uuid })) }, 'nics'],
  ['an address that is none', { nics: [{ portGroupId: uuid, ip: '10.0.0.256' }] }, 'nics'],
  ['an address as number', { nics: [{ portGroupId: uuid, ip: 167772161 }] }, 'nics'],
  ['a multicast MAC', { nics: [{ portGroupId: uuid, mac: '01:00:5e:00:00:01' }] }, 'nics'],
  ['firmware of fancy', { firmware: 'coreboot' }, 'firmware'],
  ['start as text', { start: 'yes' }, 'start'],
  ['labels that are a list', { labels: ['a'] }, 'labels'],
  ['a label with a trick as key', { labels: { '../x': 'a' } }, 'labels'],
  ['33 labels', { labels: Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`l${index}`, 'x'])) }, 'labels'],
  ['a description with control characters', { description: 'a\u001b[2Jb' }, 'description'],
  ['a description of a megabyte', { description: 'x'.repeat(1001) }, 'description'],
];

/** Other nouns, one or two rows each: method, path, body, field. */
const otherTable: readonly (readonly [string, string, object | undefined, string])[] = [
  ['POST', '/v1/volumes', { name: 'v', datastoreId: uuid, sizeBytes: '1GiB' }, 'sizeBytes'],
  ['POST', '/v1/volumes', { name: 'v', datastoreId: uuid, sizeBytes: 2 ** 63 }, 'sizeBytes'],
  ['POST', '/v1/datastores', { name: 'd', scope: 'local', path: '/tmp/../etc', hostIds: [uuid] }, 'path'],
  ['POST', '/v1/datastores', { name: 'd', scope: 'local', path: 'relative', hostIds: [uuid] }, 'path'],
  ['POST', '/v1/datastores', { name: 'd', scope: 'local', path: '/srv/$(id)', hostIds: [uuid] }, 'path'],
  ['POST', '/v1/images', { name: 'i', format: 'vmdk' }, 'format'],
  ['POST', '/v1/switches', { name: 's', mtu: 100_000 }, 'mtu'],
  ['POST', '/v1/switches', { name: 's', uplinks: [{ hostId: uuid, names: ['eth0; reboot'] }] }, 'uplinks'],
  ['POST', '/v1/port-groups', { switchId: uuid, name: 'p', vlan: 4095 }, 'vlan'],
  ['POST', '/v1/port-groups', { switchId: uuid, name: 'p', vlan: '100 trunk' }, 'vlan'],
  ['POST', '/v1/subnets', { portGroupId: uuid, name: 's', cidr: '10.0.0.0/33' }, 'cidr'],
  ['POST', '/v1/subnets', { portGroupId: uuid, name: 's', cidr: '10.0.0.0/24', dns: ['localhost'] }, 'dns'],
  ['POST', '/v1/users', { handle: 'Root; --', password: 'long enough to pass' }, 'handle'],
  ['POST', '/v1/users', { handle: 'ok', password: 'short' }, 'password'],
  ['GET', '/v1/vms?limit=0', undefined, 'limit'],
  ['GET', '/v1/vms?limit=1e9', undefined, 'limit'],
  ['GET', '/v1/vms?orderBy=name', undefined, 'orderBy'],
  ['GET', "/v1/vms?name='%20OR%201=1--", undefined, 'name'],
  ['GET', '/v1/vms/not-an-id', undefined, 'vmId'],
  ['GET', '/v1/vms/..%2f..%2fetc%2fpasswd', undefined, 'vmId'],
  ['POST', `/v1/vms/${uuid}/stop`, { graceMs: -1 }, 'graceMs'],
  ['DELETE', '/v1/vms/%00', undefined, 'vmId'],
];

interface Problem { code: string; detail: string; details?: { issues?: { path: string; message: string }[] } }
const fieldsOf = (body: unknown): string[] => ((body as Problem).details?.issues ?? []).map((issue) => issue.path);
const names = (fields: readonly string[], field: string): boolean => fields.some((path) => path === field || path.startsWith(`${field}.`) || path.startsWith(`${field}[`));

async function refused(method: string, path: string, body: object | undefined, field: string): Promise<void> {
  const answer = await world.rest.send(method, path, { ...(body === undefined ? {} : { body }), headers: { 'idempotency-key': crypto.randomUUID() } });
  expect({ status: answer.status, code: (answer.body as Problem).code, type: answer.headers.get('content-type') }).toEqual({ status: 400, code: 'INVALID_ARGUMENT', type: expect.stringContaining('application/problem+json') });
  const fields = fieldsOf(answer.body);
  expect({ field, named: names(fields, field), fields }).toMatchObject({ named: true });
  expect(answer.text).not.toMatch(/at .*\.(js|ts):\d|SELECT |mysql|node_modules/i);
}

describe('bad input', () => {
  it.each(vmTable)('creating a VM with %s is refused and the field named', (_, change, field) => refused('POST', '/v1/vms', vm(change), field));
  it.each(tricks)('the name %j is refused', (name) => refused('POST', '/v1/vms', vm({ name }), 'name'));
  it.each(otherTable)('%s %s %j is refused and %s named', refused);

  it('a body that is no JSON, no object, or too large is refused by code', async () => {
    const json = { 'content-type': 'application/json', 'idempotency-key': 'x'.repeat(16) };
    const sent = (rawBody: string, headers: Record<string, string> = json) => world.rest.send('POST', '/v1/vms', { rawBody, headers }).then(({ status, body }) => [status, (body as Problem).code]);
    expect(await sent('{"name":')).toEqual([400, 'BAD_JSON']);
    expect(await sent('[]')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await sent('null')).toEqual([400, 'INVALID_ARGUMENT']);
    expect(await sent(JSON.stringify({ name: 'x'.repeat(3_000_000) }))).toEqual([413, 'PAYLOAD_TOO_LARGE']);
    expect(await sent('name=a', { ...json, 'content-type': 'application/x-www-form-urlencoded' })).toEqual([415, 'UNSUPPORTED_MEDIA_TYPE']);
    const deep = `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`;
    expect((await sent(deep))[0]).toBe(400);
  });

  it('a name in other scripts is good, and so is the longest one', async () => {
    for (const name of [`${world.prefix} Müller 東京 ٣`, `${world.prefix}${'x'.repeat(63 - world.prefix.length)}`]) {
      const answer = await world.rest.send('POST', '/v1/vms', { body: vm({ name }), headers: { 'idempotency-key': crypto.randomUUID() } });
      expect([name, answer.status]).toEqual([name, 202]);
      await world.rest.succeeded(TaskRef.parse(answer.body));
    }
  });

  it('afterwards nothing has changed', async () => {
    await removeOwn(world);
    expect(await holdings(world)).toEqual(before);
  });
});

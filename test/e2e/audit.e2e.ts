// The audit log of a whole pool: what is done and denied through REST and the command line is in it once, and the guide's
// commands say that nothing in it was changed.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createFolder, createUser, deleteFolder, deleteUser, listAudit, listEvents } from '#contracts';
import type { AuditEntry, ReplyOf } from '#contracts';
import { newUuid } from '#kernel';
import { eventually } from './eventually.ts';
import { Rest } from './rest.ts';
import { openShell, signInShell } from './shell.ts';
import type { Shell } from './shell.ts';
import { removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let shell: Shell;
let made: ReplyOf<typeof createUser>;
let user: Rest;
const password = 'correct horse battery';
beforeAll(async () => {
  world = await openWorld('audit');
  shell = await openShell(world);
  await signInShell(shell, world);
  made = await world.rest.ask(createUser, { handle: `${world.prefix}-nobody`, password, mustChangePassword: false });
  user = await Rest.signIn(world.record.gateway.url, made.handle, password);
}, 60_000);
afterAll(async () => {
  await world.rest.ask(deleteUser, { userId: made.id });
  await removeOwn(world);
  await shell.close();
});

const found = (what: string, filter: Parameters<typeof world.rest.ask<typeof listAudit>>[1]): Promise<AuditEntry[]> => eventually(what, async () => {
  const { items } = await world.rest.ask(listAudit, filter);
  return items.length > 0 ? items : undefined;
});

describe('the audit log', () => {
  it('has what was done through REST once, however often it is asked for under its key', async () => {
    const headers = { 'idempotency-key': newUuid() };
    const body = { name: `${world.prefix}-folder` };
    const answers = [await world.rest.send('POST', '/v1/folders', { body, headers }), await world.rest.send('POST', '/v1/folders', { body, headers })];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    const { id } = answers[0]!.body as ReplyOf<typeof createFolder>;
    const records = await found('the record', { objectId: id, operation: createFolder.name });
    expect(records).toMatchObject([{ source: 'compute', door: 'rest', actor: { handle: world.record.admin.user }, outcome: 'done', object: { noun: 'folder', id } }]);
    await world.rest.ask(deleteFolder, { folderId: id });
    await found('its end', { objectId: id, operation: deleteFolder.name });
  });

  it('has a denial once, and shows nothing of itself to whoever may not read it', async () => {
    expect(await user.refusal(createFolder, { name: `${world.prefix}-denied` })).toMatchObject({ status: 403, code: 'PERMISSION_DENIED' });
    expect(await user.refusal(listAudit, {})).toMatchObject({ status: 403 });
    const denied = await found('the denial', { actor: made.handle, operation: createFolder.name });
    expect(denied).toMatchObject([{ door: 'rest', outcome: 'denied', code: 'PERMISSION_DENIED', source: 'gateway' }]);
    const { items } = await world.rest.ask(listEvents, { latest: true, limit: 500 });
    expect(items.filter(({ name }) => name.endsWith('.audit.recorded'))).toEqual([]);
  });

  it('is read and checked by the commands of its guide', async () => {
    const guide = readFileSync(join(world.lab.repo, 'docs/guides/audit.md'), 'utf8');
    const blocks = [...guide.matchAll(/^```sh run\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? '');
    expect(blocks).toHaveLength(3);
    const ended = await shell.run(['bash', '-c', ['set -euo pipefail', ...blocks].join('\n')], { withinMs: 60_000 });
    expect({ ...ended, err: ended.err.slice(-2_000) }).toMatchObject({ status: 0, out: expect.stringContaining('sound') });
    expect(ended.out).toMatch(/auth\.session\.login/);
  }, 90_000);
});

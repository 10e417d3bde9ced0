// The audit log of a whole pool: what is done and denied through REST is in it once. Its guide is pasted by guides.e2e.ts.
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createFolder, createUser, deleteFolder, deleteUser, listAudit, listEvents } from '#contracts';
import type { AuditEntry, ReplyOf } from '#contracts';
import { newUuid } from '#kernel';
import { eventually } from './eventually.ts';
import { Rest } from './rest.ts';
import { removeOwn } from './vms.ts';
import { openWorld } from './world.ts';
import type { World } from './world.ts';

let world: World;
let made: ReplyOf<typeof createUser>;
let user: Rest;
const password = 'correct horse battery';
beforeAll(async () => {
  world = await openWorld('audit');
  made = await world.rest.ask(createUser, { handle: `${world.prefix}-nobody`, password, mustChangePassword: false });
  user = await Rest.signIn(world.record.gateway.url, made.handle, password);
}, 60_000);
afterAll(async () => {
  await world.rest.ask(deleteUser, { userId: made.id });
  await removeOwn(world);
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
});

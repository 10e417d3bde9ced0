// Host liveness as HA sees it: by heartbeat alone until leases exist, so it tells and never acts.
import { z } from 'zod';
import { defineEvent, defineQuery } from '../define.ts';
import { NotFound } from '../errors.ts';
import { HostId } from '../ids.ts';
import { listInput } from '../list.ts';
import { At, pageOf } from '../values.ts';

export const Liveness = z.strictObject({ hostId: HostId, state: z.enum(['connected', 'not-responding']), since: At, lastHeartbeatAt: At.nullable() }).meta({ id: 'Liveness' });
export const listLiveness = defineQuery('ha.host.list', { summary: 'Liveness of every host', http: 'GET /v1/ha/hosts', permission: 'host.read', cli: 'ha hosts', input: z.strictObject(listInput(Liveness, ['hostId'])), reply: pageOf(Liveness) });
export const getLiveness = defineQuery('ha.host.get', { summary: 'Liveness of one host', http: 'GET /v1/ha/hosts/:hostId', permission: 'host.read', on: 'hostId', input: z.strictObject({ hostId: HostId }), reply: Liveness, errors: [NotFound] });
export const livenessChanged = defineEvent('ha.host.changed', { summary: 'A host began or ceased to respond', data: z.strictObject({ liveness: Liveness }) });

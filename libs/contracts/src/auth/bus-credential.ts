// Users on the bus: credentials that let a NATS client in under its user's handle. The private key stays with the user.
import { z } from 'zod';
import { defineCommand, defineQuery } from '../define.ts';
import { AlreadyExists, NotFound, WrongState } from '../errors.ts';
import { BusCredentialId, UserId } from '../ids.ts';
import { listInput } from '../list.ts';
import { At, Done, Handle, Name, pageOf } from '../values.ts';
import { ActingUser } from './session.ts';

/** Public part of an Ed25519 key in the form of NATS (nkeys): `U` and 55 characters of base32, the last of them a checksum. */
export const BusPublicKey = z.string().regex(/^U[A-Z2-7]{55}$/, 'the public key of a NATS user: U and 55 characters');
export const BusCredential = z.strictObject({
  id: BusCredentialId, userId: UserId, name: Name, publicKey: BusPublicKey,
  createdAt: At, issuedAt: At.describe('when it was made or last renewed'), expiresAt: At, revokedAt: At.nullable(),
}).meta({ id: 'BusCredential' });

export const createBusCredential = defineCommand('auth.bus-credential.create', {
  summary: 'Let a key of yours in to the bus for a while, or renew it',
  description: 'The answer goes, with the private key, into a standard NATS credentials file: tokctl bus login makes the key and the file. Asked again for the same key, it is let in for longer.',
  http: 'POST /v1/bus-credentials', permission: 'authenticated',
  input: z.strictObject({ publicKey: BusPublicKey, name: Name.default('bus'), lifeMinutes: z.int().min(5).max(1440).default(60).describe('minutes until it ends, at most a day') }),
  reply: z.strictObject({
    credential: BusCredential, jwt: z.string().describe('user token of NATS, of no use without the private key'), servers: z.array(z.string()).describe('where to connect'),
    subjectPrefix: z.string().describe('all subjects of the user begin so'), inboxPrefix: z.string().describe('the only inboxes that the user may listen to'),
  }),
  errors: [AlreadyExists, WrongState],
});
export const listBusCredentials = defineQuery('auth.bus-credential.list', {
  summary: 'Your keys on the bus', http: 'GET /v1/bus-credentials', permission: 'authenticated', input: z.strictObject(listInput(BusCredential, ['createdAt', 'expiresAt', 'name'])), reply: pageOf(BusCredential),
});
export const revokeBusCredential = defineCommand('auth.bus-credential.delete', {
  summary: 'Shut a key of yours out of the bus; its connections end at once', http: 'DELETE /v1/bus-credentials/:credentialId', permission: 'authenticated',
  input: z.strictObject({ credentialId: BusCredentialId }), reply: Done, errors: [NotFound],
});
export const resolveHandle = defineQuery('auth.user.resolve', {
  summary: 'The acting user behind a handle that the bus has vouched for, as a signed actor token', permission: 'internal',
  input: z.strictObject({ handle: Handle }),
  reply: ActingUser,
});

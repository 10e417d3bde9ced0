// Signing in: sessions (access and refresh token), API tokens, and what services need to know a caller by.
import { z } from 'zod';
import { defineCommand, defineQuery } from '../define.ts';
import { BadCredentials, InvalidArgument, LockedOut, NotFound, TokenExpired } from '../errors.ts';
import { TokenId, UserId } from '../ids.ts';
import { listInput } from '../list.ts';
import { Actor, At, Done, Handle, Name, pageOf } from '../values.ts';

export const Password = z.string().min(10, 'at least 10 characters').max(256);
export const Session = z.strictObject({
  accessToken: z.string(), accessExpiresInMs: z.int(), refreshToken: z.string(), refreshExpiresInMs: z.int(),
  user: z.strictObject({ id: UserId, handle: Handle, mustChangePassword: z.boolean() }),
}).meta({ id: 'Session' });

export const login = defineCommand('auth.session.login', {
  summary: 'Sign in with user and password', http: 'POST /v1/sessions', permission: 'public', cli: 'login',
  input: z.strictObject({ user: z.string().min(1).max(64), password: z.string().min(1).max(256), address: z.string().max(64).optional().describe('set by the door') }),
  reply: Session, errors: [BadCredentials, LockedOut],
});
export const refreshSession = defineCommand('auth.session.refresh', {
  summary: 'Change a refresh token for a new pair; a token used twice ends the session', http: 'POST /v1/sessions/refresh', permission: 'public',
  input: z.strictObject({ refreshToken: z.string().max(2000) }), reply: Session, errors: [TokenExpired],
});
export const logout = defineCommand('auth.session.logout', {
  summary: 'End the session of a refresh token', http: 'POST /v1/sessions/logout', permission: 'public',
  input: z.strictObject({ refreshToken: z.string().max(2000) }), reply: Done,
});
/**
 * What a caller stands on, without its secret: a session, an API token, or the user himself where he speaks on the bus under
 * his handle. It can be asked about when the secret itself has ended.
 */
export const Holder = z.strictObject({ kind: z.enum(['session', 'token', 'user']), id: z.uuid() });
export type Holder = z.infer<typeof Holder>;

/** What a door needs to know of who stands before it. */
export const ActingUser = z.strictObject({ actor: Actor, actorToken: z.string(), validForMs: z.int().describe('how long a door may keep the answer'), mustChangePassword: z.boolean(), holder: Holder });
export const resolveBearer = defineQuery('auth.session.resolve', {
  summary: 'The acting user behind an access token or API token, as a signed actor token', permission: 'internal',
  input: z.strictObject({ bearer: z.string().max(4000) }), errors: [TokenExpired],
  reply: ActingUser,
});
export const resolveHolder = defineQuery('auth.session.resolve-holder', {
  summary: 'The acting user behind a holder that was resolved before, with the rights that he has now', permission: 'internal',
  input: z.strictObject({ holder: Holder }), errors: [TokenExpired],
  reply: z.strictObject({ actor: Actor, actorToken: z.string() }),
});
export const whoAmI = defineQuery('auth.session.get', {
  summary: 'The signed-in user and his rights', http: 'GET /v1/sessions/current', permission: 'authenticated', cli: 'whoami',
  input: z.strictObject({}), reply: Actor,
});
export const signingKeys = defineQuery('auth.key.list', {
  summary: 'Public keys that actor tokens are signed with', permission: 'internal', input: z.strictObject({}),
  reply: z.strictObject({ keys: z.array(z.strictObject({ kid: z.string(), kty: z.literal('OKP'), crv: z.literal('Ed25519'), x: z.string() })) }),
});

export const ApiToken = z.strictObject({ id: TokenId, userId: UserId, name: Name, createdAt: At, expiresAt: At.nullable(), lastUsedAt: At.nullable() }).meta({ id: 'ApiToken' });
export const createApiToken = defineCommand('auth.token.create', {
  summary: 'Make an API token for yourself; its secret is shown once', http: 'POST /v1/tokens', permission: 'authenticated',
  input: z.strictObject({ name: Name, expiresInDays: z.int().min(1).max(3650).nullable().default(90) }),
  reply: z.strictObject({ token: ApiToken, secret: z.string() }), errors: [InvalidArgument],
});
export const listApiTokens = defineQuery('auth.token.list', {
  summary: 'Your API tokens', http: 'GET /v1/tokens', permission: 'authenticated', input: z.strictObject(listInput(ApiToken, ['createdAt', 'name'])), reply: pageOf(ApiToken),
});
export const revokeApiToken = defineCommand('auth.token.delete', {
  summary: 'Revoke an API token of yours', http: 'DELETE /v1/tokens/:tokenId', permission: 'authenticated',
  input: z.strictObject({ tokenId: TokenId }), reply: Done, errors: [NotFound],
});

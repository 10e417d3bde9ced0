// The one file that knows `@nats-io/jwt`: turns keys and roles into the texts that a NATS server in operator mode reads.
import { createAccount, createOperator, createUser, decode, encodeAccount, encodeOperator, encodeUser, fmtCreds, fromPublic, fromSeed, newScopedSigner } from '@nats-io/jwt';
import type { Account, KeyPair, UserPermissionsLimits } from '@nats-io/jwt';
import type { RolePermissions } from './nats-roles.ts';

const MAKERS = { operator: createOperator, account: createAccount, user: createUser } as const;
const NANOSECONDS = 1_000_000;

const pairs = new Map<string, KeyPair>();

/** The library computes the public key at every use, which is most of the time that a setup takes: remembered here. */
function pairOf(seed: string): KeyPair {
  const known = pairs.get(seed);
  if (known) return known;
  const pair = fromSeed(new TextEncoder().encode(seed));
  const publicKey = pair.getPublicKey();
  pair.getPublicKey = () => publicKey;
  pairs.set(seed, pair);
  return pair;
}

export const newSeed = (kind: keyof typeof MAKERS): string => new TextDecoder().decode(MAKERS[kind]().getSeed());
export const publicKeyOf = (seed: string): string => pairOf(seed).getPublicKey();

/** `signerSeed` may sign accounts too: auth holds it, and the operator's own key stays where the setup was made. */
export const operatorJwt = (operatorSeed: string, systemSeed: string, signerSeed: string): Promise<string> =>
  encodeOperator('tokamak', pairOf(operatorSeed), { system_account: publicKeyOf(systemSeed), signing_keys: [publicKeyOf(signerSeed)] });

/** The system account: no streams, no users of the product. */
export const systemAccountJwt = (seed: string, operatorSeed: string): Promise<string> =>
  encodeAccount('SYS', publicKeyOf(seed), { limits: noLimits }, { signer: pairOf(operatorSeed) });

/** The product's account, with one signing key per role; what its holders may do is in here, not in their credentials. */
export const accountJwt = (seed: string, operatorSeed: string, roles: readonly { name: string; seed: string; may: RolePermissions }[]): Promise<string> =>
  encodeAccount('TOK', publicKeyOf(seed), {
    limits: { ...noLimits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 },
    signing_keys: roles.map((role) => newScopedSigner(publicKeyOf(role.seed), role.name, templateOf(role.may))),
  }, { signer: pairOf(operatorSeed) });

/** A credentials file for `name` in the role of the signing key. */
export async function scopedCreds(name: string, userSeed: string, accountSeed: string, signingSeed: string): Promise<string> {
  const jwt = await encodeUser(name, publicKeyOf(userSeed), publicKeyOf(accountSeed), {}, { signer: pairOf(signingSeed), scopedUser: true });
  return new TextDecoder().decode(fmtCreds(jwt, pairOf(userSeed)));
}

/** A credentials file in the system account; without `may` there is nothing that its holder may not do there. */
export async function systemCreds(name: string, userSeed: string, accountSeed: string, may?: RolePermissions): Promise<string> {
  const jwt = await encodeUser(name, publicKeyOf(userSeed), pairOf(accountSeed), may === undefined ? {} : { pub: { allow: [...may.publish], deny: [] }, sub: { allow: [...may.subscribe], deny: [] } });
  return new TextDecoder().decode(fmtCreds(jwt, pairOf(userSeed)));
}

/** What lets a user in under his handle until `expiresAt` (wall clock, ms); only the holder of his private key can use it. */
export const userJwt = (user: { handle: string; publicKey: string; expiresAt: number }, account: string, signingSeed: string): Promise<string> =>
  encodeUser(user.handle, fromPublic(user.publicKey), fromPublic(account), {}, { signer: pairOf(signingSeed), scopedUser: true, exp: Math.floor(user.expiresAt / 1000) });

/** Whether the text is the public key of a user: its checksum says so. */
export function isUserKey(text: string): boolean {
  try {
    return text.startsWith('U') && fromPublic(text).getPublicKey() === text;
  } catch {
    return false;
  }
}

/** Keys of users whose credentials the server refuses, with the second up to which they were made. */
export type Revocations = Readonly<Record<string, number>>;
export const revocationsIn = (accountText: string): Revocations => decode<Account>(accountText).nats.revocations ?? {};

/** The account as it is but for its revocations, signed anew. */
export function withRevocations(accountText: string, revocations: Revocations, operatorSignerSeed: string): Promise<string> {
  const { name, sub, nats } = decode<Account>(accountText);
  return encodeAccount(name, fromPublic(sub), { ...nats, revocations: { ...revocations } }, { signer: pairOf(operatorSignerSeed) });
}

const noLimits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 };

function templateOf({ publish, subscribe, answersForMs, limits }: RolePermissions): Partial<UserPermissionsLimits> {
  return {
    ...(limits === undefined ? {} : { payload: limits.payloadBytes, subs: limits.subscriptions, data: -1 }),
    pub: { allow: [...publish], deny: [] },
    sub: { allow: [...subscribe], deny: [] },
    ...(answersForMs === undefined ? {} : { resp: { max: 1, ttl: answersForMs * NANOSECONDS } }),
    allowed_connection_types: ['STANDARD', 'WEBSOCKET'],
  };
}

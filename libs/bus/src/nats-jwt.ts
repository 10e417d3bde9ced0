// The one file that knows `@nats-io/jwt`: turns keys and roles into the texts that a NATS server in operator mode reads.
import { createAccount, createOperator, createUser, encodeAccount, encodeOperator, encodeUser, fmtCreds, fromSeed, newScopedSigner } from '@nats-io/jwt';
import type { KeyPair, UserPermissionsLimits } from '@nats-io/jwt';
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

export const operatorJwt = (operatorSeed: string, systemSeed: string): Promise<string> =>
  encodeOperator('tokamak', pairOf(operatorSeed), { system_account: publicKeyOf(systemSeed) });

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

/** A credentials file without restrictions in its account; for the system account alone. */
export async function fullCreds(name: string, userSeed: string, accountSeed: string): Promise<string> {
  const jwt = await encodeUser(name, publicKeyOf(userSeed), pairOf(accountSeed));
  return new TextDecoder().decode(fmtCreds(jwt, pairOf(userSeed)));
}

const noLimits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: 0 };

function templateOf({ publish, subscribe, answersForMs }: RolePermissions): Partial<UserPermissionsLimits> {
  return {
    pub: { allow: [...publish], deny: [] },
    sub: { allow: [...subscribe], deny: [] },
    ...(answersForMs === undefined ? {} : { resp: { max: 1, ttl: answersForMs * NANOSECONDS } }),
    allowed_connection_types: ['STANDARD', 'WEBSOCKET'],
  };
}

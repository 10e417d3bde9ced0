// Actor tokens that hold, in place of auth's: for what the gateway owns itself and so checks itself.
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { Actor, Holder } from '#contracts';
import { ok } from '#kernel';
import type { Result } from '#kernel';
import { holders, people } from './gateway.fixture.ts';
import type { GatewayUnderTest } from './gateway.fixture.ts';

type Person = keyof typeof people;

export class SignedActors {
  /** What auth says of them now. */
  readonly actors = new Map<string, Actor>(Object.entries(people));

  private constructor(private readonly sign: (actor: Actor) => Promise<string>, private readonly gateway: GatewayUnderTest) {}

  /** From now on bearers and handles of `people` are resolved with tokens that the gateway believes. */
  static async playIn(gateway: GatewayUnderTest): Promise<SignedActors> {
    const { privateKey, publicKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' });
    const { x } = await exportJWK(publicKey);
    const signed = new SignedActors(({ userId, handle, rights }) =>
      new SignJWT({ handle, rights }).setProtectedHeader({ alg: 'EdDSA', kid: 'test' }).setIssuer('tokamak-auth').setAudience('tokamak-actor').setSubject(userId).setIssuedAt().setExpirationTime('10m').sign(privateKey), gateway);
    gateway.play('auth.key.list', () => ok({ keys: [{ kid: 'test', kty: 'OKP', crv: 'Ed25519', x }] }));
    gateway.play('auth.session.resolve', ({ input }) => signed.resolve(String(input['bearer'])));
    gateway.play('auth.user.resolve', ({ input }) => signed.resolve(String(input['handle'])));
    return signed;
  }

  private async resolve(name: string): Promise<Result<{ actor: Actor; actorToken: string; validForMs: number; mustChangePassword: boolean; holder: Holder }>> {
    const actor = this.actors.get(name);
    if (actor === undefined || this.gateway.withdrawn.has(name)) return { ok: false, fault: { code: 'UNAUTHENTICATED', detail: 'The token is not valid.' } };
    return ok({ actor, actorToken: await this.sign(actor), validForMs: 30_000, mustChangePassword: false, holder: holders[name as Person] });
  }
}

/** Whom a token names; undefined = a service. */
export function actorIn(token: string): Pick<Actor, 'userId' | 'handle' | 'rights'> | undefined {
  const [, payload] = token.split('.');
  if (payload === undefined) return Object.values(people).find(({ handle }) => token === `actor-of-${handle}`);
  const { sub, handle, rights } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sub: Actor['userId'] } & Pick<Actor, 'handle' | 'rights'>;
  return { userId: sub, handle, rights };
}

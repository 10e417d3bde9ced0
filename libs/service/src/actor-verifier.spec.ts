import { beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair } from 'jose';
import type { CryptoKey, JWTPayload } from 'jose';
import { Unavailable } from '#contracts';
import { newUuid, ok } from '#kernel';
import type { Clock, Result } from '#kernel';
import { JwtActorVerifier, actorTokenAudience, actorTokenIssuer } from './actor-verifier.ts';
import type { ActorKey } from './actor-verifier.ts';

const startMs = Date.parse('2026-01-01T00:00:00Z');
const userId = newUuid();
const claims = { sub: userId, handle: 'ann', rights: [{ permissions: ['vm.read'], scope: 'site', scopeId: null }] };

let keyPair: { privateKey: CryptoKey; x: string };
let otherPair: { privateKey: CryptoKey; x: string };
let atMs: number;
let asked: number;
let answer: Result<readonly ActorKey[]>;
let verifier: JwtActorVerifier;
const clock: Clock = { now: () => startMs + atMs, monotonic: () => atMs };

async function newPair(): Promise<{ privateKey: CryptoKey; x: string }> {
  const { privateKey, publicKey } = await generateKeyPair('EdDSA', { extractable: true });
  return { privateKey, x: (await exportJWK(publicKey)).x ?? '' };
}

interface TokenText { payload?: JWTPayload; kid?: string; key?: CryptoKey; issuer?: string; audience?: string; endsInMs?: number }
const token = ({ payload = claims, kid = 'k1', key = keyPair.privateKey, issuer = actorTokenIssuer, audience = actorTokenAudience, endsInMs = 600_000 }: TokenText = {}): Promise<string> =>
  new SignJWT(payload).setProtectedHeader({ alg: 'EdDSA', kid }).setIssuer(issuer).setAudience(audience).setExpirationTime(new Date(startMs + atMs + endsInMs)).sign(key);
const codeOf = async (text: string): Promise<string> => {
  const result = await verifier.verify(text);
  return result.ok ? 'ok' : result.fault.code;
};

beforeAll(async () => {
  keyPair = await newPair();
  otherPair = await newPair();
});

beforeEach(() => {
  atMs = 10_000;
  asked = 0;
  answer = ok([{ kid: 'k1', x: keyPair.x }]);
  verifier = new JwtActorVerifier(() => { asked += 1; return Promise.resolve(answer); }, clock);
});

describe('an actor token', () => {
  it('gives the actor that auth signed', async () => {
    expect(await verifier.verify(await token())).toEqual(ok({ userId, handle: 'ann', rights: claims.rights }));
  });

  it('is refused once it has ended, also when it was good before', async () => {
    const short = await token({ endsInMs: 5_000 });
    expect(await codeOf(short)).toBe('ok');
    atMs += 5_000;
    expect(await codeOf(short)).toBe('TOKEN_EXPIRED');
    expect(await codeOf(short)).toBe('TOKEN_EXPIRED');
  });

  it.each<[string, () => Promise<string>]>([
    ['with another signature', () => token({ key: otherPair.privateKey })],
    ['with an unknown key id', () => token({ kid: 'k9' })],
    ['for another audience', () => token({ audience: 'tokamak-bearer' })],
    ['of another issuer', () => token({ issuer: 'somebody' })],
    ['without a handle', () => token({ payload: { sub: userId, rights: [] } })],
    ['with a permission that does not exist', () => token({ payload: { ...claims, rights: [{ permissions: ['root'], scope: 'site', scopeId: null }] } })],
    ['without a subject', () => token({ payload: { handle: 'ann', rights: [] } })],
    ['without an end', () => new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', kid: 'k1' }).setIssuer(actorTokenIssuer).setAudience(actorTokenAudience).sign(keyPair.privateKey)],
    ['without a key id', () => new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA' }).setIssuer(actorTokenIssuer).setAudience(actorTokenAudience).setExpirationTime(new Date(startMs + 900_000)).sign(keyPair.privateKey)],
    ['with algorithm none', () => Promise.resolve(new UnsecuredJWT(claims).setIssuer(actorTokenIssuer).setAudience(actorTokenAudience).setExpirationTime(new Date(startMs + 900_000)).encode())],
    ['signed HS256 with the public key as the secret', () => new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: 'k1' }).setIssuer(actorTokenIssuer).setAudience(actorTokenAudience).setExpirationTime(new Date(startMs + 900_000)).sign(Buffer.from(keyPair.x, 'base64url'))],
    ['signed with another algorithm', async () => new SignJWT(claims).setProtectedHeader({ alg: 'ES256', kid: 'k1' }).setIssuer(actorTokenIssuer).setAudience(actorTokenAudience).setExpirationTime(new Date(startMs + 900_000)).sign((await generateKeyPair('ES256')).privateKey)],
    ['that is not one', () => Promise.resolve('service:compute')],
    ['that is empty', () => Promise.resolve('')],
  ])('%s is refused', async (_what, make) => {
    expect(await codeOf(await make())).toBe('UNAUTHENTICATED');
  });

  it('changed by one letter is refused', async () => {
    const good = await token();
    const [header = '', payload = '', signature = ''] = good.split('.');
    const forged = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url').toString()) as object, handle: 'bob' })).toString('base64url');
    expect(await codeOf(good)).toBe('ok');
    expect(await codeOf(`${header}.${forged}.${signature}`)).toBe('UNAUTHENTICATED');
  });
});

describe('the keys', () => {
  it('are asked for once, not for each token', async () => {
    expect(await codeOf(await token())).toBe('ok');
    expect(await codeOf(await token({ endsInMs: 700_000 }))).toBe('ok');
    expect(asked).toBe(1);
  });

  it('are asked again when a new key appears', async () => {
    expect(await codeOf(await token())).toBe('ok');
    answer = ok([{ kid: 'k1', x: keyPair.x }, { kid: 'k2', x: otherPair.x }]);
    atMs += 1_001;
    expect(await codeOf(await token({ kid: 'k2', key: otherPair.privateKey }))).toBe('ok');
    expect(asked).toBe(2);
  });

  it('cost auth one question a second however many unknown ids come', async () => {
    expect(await codeOf(await token())).toBe('ok');
    atMs += 1_001;
    const forged = await Promise.all(Array.from({ length: 50 }, (_, index) => token({ kid: `x${index}` })));
    expect(new Set(await Promise.all(forged.map(codeOf)))).toEqual(new Set(['UNAUTHENTICATED']));
    expect(asked).toBe(2);
  });

  it('are kept while auth does not answer', async () => {
    expect(await codeOf(await token())).toBe('ok');
    answer = Unavailable.fail('auth does not answer', { service: 'auth' });
    atMs += 120_000;
    expect(await codeOf(await token())).toBe('ok');
    expect(asked).toBe(2);
  });

  it('that are missing make the answer UNAVAILABLE, not "sign in"', async () => {
    answer = Unavailable.fail('auth does not answer', { service: 'auth' });
    expect(await codeOf(await token())).toBe('UNAVAILABLE');
  });

  it('that were withdrawn end the tokens they signed within a minute', async () => {
    const signed = await token();
    expect(await codeOf(signed)).toBe('ok');
    answer = ok([{ kid: 'k2', x: otherPair.x }]);
    atMs += 60_001;
    expect(await codeOf(signed)).toBe('UNAUTHENTICATED');
  });
});

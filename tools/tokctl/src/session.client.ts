// Who the command speaks as: a token of the environment, or the session of a profile, whose access token is renewed
// when it has ended. A refresh token is good once, so one process renews at a time and the others take what it got.
// The renewal's idempotency key follows from the refresh token: whoever dies before the new pair is on disk gets the
// same pair when he asks again.
import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { Session } from '#contracts';
import { Failure, Refused } from './failures.ts';
import { exit } from './exit-codes.ts';
import { problemOf } from './answers.ts';
import { sender } from './http.client.ts';
import type { Send } from './http.client.ts';
import { platformUrl } from './profile.store.ts';
import type { ProfileStore, Tokens } from './profile.store.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface Target {
  readonly url: string;
  /** Undefined when the environment says it all. */
  readonly profile: string | undefined;
}

/** A bearer token; `stale` is one that the door has just refused. */
export type Bearer = (stale?: string) => Promise<string>;

/** An access token is renewed a little before its end, so that it does not end on its way. */
const earlyMs = 10_000;

/** `--url` before TOK_URL before the profile; a profile is the one named, the one that has this address, or the current one. */
export function targetOf(store: ProfileStore, env: Environment, given: { url?: string | undefined; profile?: string | undefined }): Target {
  const { current, profiles } = store.settings();
  const named = given.profile ?? env['TOK_PROFILE'];
  const text = given.url ?? (env['TOK_URL'] || undefined);
  const url = text === undefined ? undefined : platformUrl(text);
  if (named !== undefined) {
    const profile = profiles[named];
    if (!profile) throw new Failure(exit.usage, `There is no profile ${named}.`, 'See tokctl profile list.');
    return { url: url ?? profile.url, profile: named };
  }
  if (url !== undefined) {
    const fits = (name: string | null): name is string => name !== null && profiles[name]?.url === url;
    return { url, profile: fits(current) ? current : Object.keys(profiles).find(fits) };
  }
  const profile = current === null ? undefined : profiles[current];
  if (current === null || !profile) throw new Failure(exit.notSignedIn, 'No platform is chosen.', 'Sign in: tokctl login http://host:8080');
  return { url: profile.url, profile: current };
}

export function bearerOf(store: ProfileStore, env: Environment, target: Target, send: Send = sender(target.url), now: () => number = Date.now): Bearer {
  const token = env['TOK_TOKEN'];
  if (token) return () => Promise.resolve(token);
  const { profile, url } = target;
  const usable = (tokens: Tokens, stale: string | undefined): boolean => tokens.accessToken !== stale && tokens.accessUntil - earlyMs > now();
  return async (stale) => {
    const signIn = new Failure(exit.notSignedIn, `Not signed in at ${url}.`, `Sign in: tokctl login ${url}`);
    if (profile === undefined) throw signIn;
    const found = store.tokens(profile);
    if (found?.url !== url) throw signIn;
    if (usable(found, stale)) return found.accessToken;
    return store.alone(profile, async () => {
      const latest = store.tokens(profile);
      if (latest?.url !== url) throw signIn;
      if (usable(latest, stale)) return latest.accessToken;
      const renewed = await renew(send, latest, now, url);
      store.saveTokens(profile, renewed);
      return renewed.accessToken;
    });
  };
}

async function renew(send: Send, { refreshToken }: Tokens, now: () => number, url: string): Promise<Tokens> {
  const key = `refresh-${createHash('sha256').update(refreshToken).digest('hex')}`;
  const answer = await send({ method: 'POST', path: '/v1/sessions/refresh', body: JSON.stringify({ refreshToken }), headers: { 'idempotency-key': key } });
  if (answer.status === 401) throw new Failure(exit.notSignedIn, `The session at ${url} has ended.`, `Sign in again: tokctl login ${url}`);
  if (answer.status >= 300) throw new Refused(problemOf(answer), answer.status);
  return tokensOf(url, answer.text, now());
}

/** What a sign-in or a renewal answers, as it is kept. */
export function tokensOf(url: string, text: string, nowMs: number): Tokens {
  const session = sessionOf(text);
  return { url, userId: session.user.id, accessToken: session.accessToken, accessUntil: nowMs + session.accessExpiresInMs, refreshToken: session.refreshToken, refreshUntil: nowMs + session.refreshExpiresInMs };
}

export function sessionOf(text: string): z.infer<typeof Session> {
  try {
    return Session.parse(JSON.parse(text));
  } catch {
    throw new Failure(exit.refused, 'The answer to the sign-in is not one of this platform.');
  }
}

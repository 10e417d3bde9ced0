// login, logout, passwd: what keeps, uses up and changes the secrets of a person. Passwords come from the terminal or
// from standard input, never from the command line.
import { logout as logoutOperation, setPassword } from '#contracts';
import { problemOf, valueOf } from './answers.ts';
import { contextOf } from './context.ts';
import type { Options } from './context.ts';
import { exit } from './exit-codes.ts';
import { Failure, Refused, usageFailure } from './failures.ts';
import { sender } from './http.client.ts';
import type { Answer, Send } from './http.client.ts';
import { checkProfileName, platformUrl } from './profile.store.ts';
import type { Settings } from './profile.store.ts';
import { sessionOf, targetOf, tokensOf } from './session.client.ts';
import type { Surroundings } from './surroundings.ts';
import { operationNamed } from './platform.client.ts';

export interface LoginOptions extends Options {
  readonly user?: string;
  readonly passwordStdin?: boolean;
}

const post = (send: Send, path: string, body: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => send({ method: 'POST', path, body: JSON.stringify(body), headers });

function accepted(answer: Answer): Answer {
  if (answer.status >= 300) throw new Refused(problemOf(answer), answer.status);
  return answer;
}

/** Signs in and makes the profile the current one. With `--password-stdin` a second line is the new password, used if one has to be set. */
export async function login(around: Surroundings, address: string | undefined, options: LoginOptions): Promise<void> {
  const url = addressOf(around, address, options);
  const user = options.user ?? (await around.question('User: ', false));
  if (!user) throw usageFailure('Who signs in? tokctl login --user NAME');
  const password = options.passwordStdin ? await around.readLine() : await around.question('Password: ', true);
  if (!password) throw usageFailure('No password came: type it, or pass it with --password-stdin.');
  const send = sender(url);
  let answer = accepted(await post(send, '/v1/sessions', { user, password }));
  const { accessToken, user: account } = sessionOf(answer.text);
  if (account.mustChangePassword) {
    const newPassword = options.passwordStdin ? await around.readLine() : await newPasswordOf(around);
    if (!newPassword) throw new Failure(exit.refused, 'A new password has to be set first.', 'Sign in at a terminal, or give it as second line with --password-stdin.');
    accepted(await post(send, `/v1/users/${account.id}/set-password`, { currentPassword: password, newPassword }, { authorization: `Bearer ${accessToken}` }));
    // Changing a password ends the sessions that knew the old one.
    answer = accepted(await post(send, '/v1/sessions', { user, password: newPassword }));
  }
  const profile = profileFor(around.store.settings(), url, options.profile);
  // Tokens first: a profile without them would say "signed in" and not be.
  around.store.saveTokens(profile, tokensOf(url, answer.text, around.nowMs()));
  await around.store.change((settings) => {
    settings.profiles[profile] = { url, user: account.handle };
    settings.current = profile;
  });
  around.say(`Signed in at ${url} as ${account.handle} (profile ${profile}).`);
}

function addressOf(around: Surroundings, address: string | undefined, options: Options): string {
  const given = address ?? options.url ?? (around.env['TOK_URL'] || undefined);
  if (given !== undefined) return platformUrl(given);
  try {
    return targetOf(around.store, around.env, options).url;
  } catch (error) {
    if (error instanceof Failure && error.exitCode === exit.notSignedIn) throw usageFailure('At which address? tokctl login http://host:8080');
    throw error;
  }
}

async function newPasswordOf(around: Surroundings): Promise<string | undefined> {
  around.say('A new password has to be set first.');
  const first = await around.question('New password (at least 10 characters): ', true);
  const second = first === undefined ? undefined : await around.question('Again: ', true);
  if (first !== second) throw usageFailure('The two do not match.');
  return first;
}

/** The profile named; else the one that has this address; else a new one. */
export function profileFor({ profiles }: Settings, url: string, named: string | undefined): string {
  if (named !== undefined) return checkProfileName(named);
  const known = Object.keys(profiles).find((name) => profiles[name]?.url === url);
  if (known !== undefined) return known;
  return 'default' in profiles ? new URL(url).host.replace(/[^A-Za-z0-9.-]/g, '-').replace(/^[.-]+/, '') : 'default';
}

/** Ends the session on the platform and forgets its tokens; a session that cannot be reached is forgotten all the same. */
export async function logout(around: Surroundings, options: Options): Promise<void> {
  const { url, profile } = targetOf(around.store, around.env, options);
  const tokens = profile === undefined ? undefined : around.store.tokens(profile);
  if (profile === undefined || tokens === undefined) {
    around.say(`Not signed in at ${url}.`);
    return;
  }
  around.store.forgetTokens(profile);
  const [, path = ''] = (logoutOperation.http ?? '').split(' ');
  try {
    accepted(await post(sender(tokens.url), path, { refreshToken: tokens.refreshToken }));
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    around.say(`The tokens are deleted here, but the platform was not told: ${error.lines[0] ?? ''}`);
    return;
  }
  around.say(`Signed out at ${tokens.url}.`);
}

/** Changes the signed-in user's own password and signs in again with the new one. */
export async function passwd(around: Surroundings, options: LoginOptions): Promise<void> {
  const current = options.passwordStdin ? await around.readLine() : await around.question('Current password: ', true);
  const newPassword = options.passwordStdin ? await around.readLine() : await newPasswordOf(around);
  if (!current || !newPassword) throw usageFailure('Two passwords are needed, the current and the new one: type them, or pass them as two lines with --password-stdin.');
  const { url, profile } = targetOf(around.store, around.env, options);
  const { platform } = contextOf(around, options);
  const me = await platform.ask({ method: 'GET', path: '/v1/sessions/current' });
  const { userId, handle } = valueOf(me) as { userId: string; handle: string };
  await platform.call(operationNamed(setPassword.name), { userId, currentPassword: current, newPassword });
  if (profile !== undefined) {
    const answer = accepted(await post(sender(url), '/v1/sessions', { user: handle, password: newPassword }));
    around.store.saveTokens(profile, tokensOf(url, answer.text, around.nowMs()));
  }
  around.say('The password is changed.');
}

// bus login: gets credentials for the bus, or renews them. The private key is made here and leaves this machine never;
// the file that results is what every NATS client reads.
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import type { KeyPair } from '@nats-io/jwt';
import { createBusCredential } from '#contracts';
import type { ReplyOf } from '#contracts';
import { valueOf } from './answers.ts';
import type { Context, Options } from './context.ts';
import { Refused, usageFailure } from './failures.ts';
import { durationForm, durationText, parseDuration } from './quantities.ts';
import { targetOf } from './session.client.ts';

export interface BusLoginOptions extends Options {
  readonly file?: string;
  readonly name?: string;
  readonly life?: string;
}
type Made = ReplyOf<typeof createBusCredential>;

export async function busLogin(context: Context, options: BusLoginOptions): Promise<void> {
  const { around } = context;
  const lifeMinutes = minutesOf(options.life ?? '1h');
  const file = resolve(options.file ?? around.store.credsFile(targetOf(around.store, around.env, options).profile ?? 'default'));
  const { createUser, fmtCreds } = await import('@nats-io/jwt');
  const ask = async (key: KeyPair): Promise<Granted> => ({ key, made: await letIn(context, { publicKey: key.getPublicKey(), name: options.name ?? thisMachine(), lifeMinutes }) });
  const known = await keyIn(file);
  const { key, made } = await ask(known ?? createUser()).catch((error: unknown) => {
    if (known === undefined || !(error instanceof Refused) || error.problem.code !== 'WRONG_STATE') throw error;
    around.say('The key in the file was revoked; making a new one.');
    return ask(createUser());
  });
  writePrivately(file, fmtCreds(made.jwt, key));
  around.out(file);
  around.say(`Good for ${durationText(Date.parse(made.credential.expiresAt) - around.nowMs())}; the same command renews it. Try:`);
  around.say(`  nats --server ${made.servers.join(',')} --creds ${file} --inbox-prefix ${made.inboxPrefix} req ${made.subjectPrefix}.req.compute.vm.list '{}'`);
}

interface Granted { readonly key: KeyPair; readonly made: Made }

async function letIn({ platform }: Context, input: { publicKey: string; name: string; lifeMinutes: number }): Promise<Made> {
  const [method = '', path = ''] = (createBusCredential.http ?? '').split(' ');
  // A key of its own for each key that is tried: the platform takes one for one request only.
  const answer = await platform.ask({ method, path, body: JSON.stringify(input), headers: { 'idempotency-key': platform.keyFor(input.publicKey) } });
  return valueOf(answer) as Made;
}

function minutesOf(text: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 5 * 60_000 || ms > 24 * 3_600_000) throw usageFailure(`--life takes ${durationForm}, from 5m to 1d.`);
  return Math.floor(ms / 60_000);
}

/** The name of an object: what a host name has beyond that goes. */
const thisMachine = (): string => hostname().replace(/[^A-Za-z0-9.-]/g, '').replace(/^[.-]+|[.-]+$/g, '').slice(0, 63) || 'bus';

/** The private key in a credentials file; a file that is something else is left alone. */
async function keyIn(file: string): Promise<KeyPair | undefined> {
  if (!existsSync(file)) return undefined;
  const [seed] = /^SU[A-Z2-7]{56}$/m.exec(readFileSync(file, 'utf8')) ?? [];
  if (seed === undefined) throw usageFailure(`${file} is there and is no NATS credentials file; name another one with --file.`);
  const { fromSeed } = await import('@nats-io/jwt');
  return fromSeed(new TextEncoder().encode(seed));
}

/** Whole or not at all, and readable for its owner alone from its first byte. */
function writePrivately(file: string, content: Uint8Array): void {
  const aside = `${file}.${process.pid}.new`;
  try {
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(aside, content, { mode: 0o600 });
    renameSync(aside, file);
  } catch (error) {
    throw usageFailure(`${file} cannot be written: ${(error as Error).message}`);
  }
}

// Sets up NATS in operator mode in one directory: keys, accounts, the server's configuration, and a credentials file
// for each service and host. Run again, it keeps every key and adds only what is new; a crash between two files is
// mended by the next run, because the keys are on disk before anything that is made from them.
import { createHash } from 'node:crypto';
import { chmodSync, closeSync, existsSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { canonicalJson } from '#kernel';
import { isSubjectToken } from './headers.ts';
import type { AuthorityKeys } from './authority.nats.ts';
import { accountJwt, newSeed, operatorJwt, publicKeyOf, scopedCreds, systemAccountJwt, systemCreds } from './nats-jwt.ts';
import { authorityRole, rolesFor } from './nats-roles.ts';

export interface NatsSetupOptions {
  /** Keeps the keys; only its owner may read it. */
  readonly dir: string;
  readonly services: readonly string[];
  readonly hostIds: readonly string[];
  readonly host: string;
  readonly port: number;
  /** Where JetStream keeps its streams. */
  readonly storeDir: string;
  readonly serverName?: string;
}

export interface NatsSetup {
  readonly configFile: string;
  /** Credentials files by service name, host id, `ops`, and `sys` (the server's own account). */
  readonly creds: Record<string, string>;
  /** For auth alone: with it users are let in and shut out. */
  readonly authorityFile: string;
}

interface Keys {
  operator: string;
  /** Signs accounts in the operator's place. */
  operatorSigner: string;
  system: string;
  account: string;
  /** Signing keys by role. */
  roles: Record<string, string>;
  /** Users' keys by the name of their credentials. */
  users: Record<string, string>;
}

const MAX_PAYLOAD = 1024 * 1024;
const RESERVED = new Set(['ops', 'sys', 'authority', 'user', 'host', 'evt', 'hb', 'rpt', 'console']);

export async function writeNatsSetup(options: NatsSetupOptions): Promise<NatsSetup> {
  const holders = holdersOf(options);
  const roles = rolesFor(options.services);
  mkdirSync(join(options.dir, 'creds'), { recursive: true, mode: 0o700 });
  chmodSync(options.dir, 0o700);
  const keys = keysOf(join(options.dir, 'keys.json'), Object.keys(roles), [...holders.keys(), 'sys', 'authority']);
  const seedOf = (role: string): string => keys.roles[role] ?? '';

  const operator = await kept(join(options.dir, 'operator.jwt'), [publicKeyOf(keys.system), publicKeyOf(keys.operatorSigner)], () => operatorJwt(keys.operator, keys.system, keys.operatorSigner));
  const system = await kept(join(options.dir, 'sys.jwt'), [publicKeyOf(keys.operator)], () => systemAccountJwt(keys.system, keys.operator));
  const signers = Object.entries(roles).map(([name, may]) => ({ name, seed: seedOf(name), may }));
  const account = await kept(join(options.dir, 'tok.jwt'), signers.map(({ name, seed, may }) => ({ name, key: publicKeyOf(seed), may })), () => accountJwt(keys.account, keys.operator, signers));

  const creds: Record<string, string> = {};
  const seedFor = (name: string): string => keys.users[name] ?? '';
  const makers: Record<string, () => Promise<string>> = {
    ...Object.fromEntries([...holders].map(([name, role]) => [name, () => scopedCreds(name, seedFor(name), keys.account, seedOf(role))])),
    sys: () => systemCreds('sys', seedFor('sys'), keys.system),
    authority: () => systemCreds('authority', seedFor('authority'), keys.system, authorityRole(publicKeyOf(keys.account))),
  };
  for (const [name, make] of Object.entries(makers)) {
    const file = join(options.dir, 'creds', `${name}.creds`);
    if (!existsSync(file)) writeWhole(file, await make());
    creds[name] = file;
  }
  const authorityFile = join(options.dir, 'authority.json');
  const authority: AuthorityKeys = { account: publicKeyOf(keys.account), userSigner: seedOf('user'), operatorSigner: keys.operatorSigner, creds: creds['authority'] ?? '' };
  writeWhole(authorityFile, `${JSON.stringify(authority, null, 2)}\n`);

  const configFile = join(options.dir, 'nats.conf');
  writeWhole(configFile, configText(options, operator, { [publicKeyOf(keys.account)]: account, [publicKeyOf(keys.system)]: system }, publicKeyOf(keys.system)));
  return { configFile, creds, authorityFile };
}

/** Who gets credentials, and in which role. */
function holdersOf({ services, hostIds }: NatsSetupOptions): Map<string, string> {
  const holders = new Map<string, string>([['ops', 'ops']]);
  const add = (name: string, role: string): void => {
    if (!isSubjectToken(name) || !/^[A-Za-z0-9_-]+$/.test(name)) throw new Error(`"${name}" cannot be part of a subject`);
    if (holders.has(name) || RESERVED.has(name)) throw new Error(`"${name}" is named twice or reserved`);
    holders.set(name, role);
  };
  for (const name of services) add(name, `service-${name}`);
  for (const hostId of hostIds) add(hostId, 'host');
  return holders;
}

function keysOf(file: string, roles: readonly string[], users: readonly string[]): Keys {
  // A setup of before credentials for users has no signer yet.
  const stored: Omit<Keys, 'operatorSigner'> & Partial<Keys> = existsSync(file)
    ? (JSON.parse(readFileSync(file, 'utf8')) as Keys)
    : { operator: newSeed('operator'), system: newSeed('account'), account: newSeed('account'), roles: {}, users: {} };
  const before = canonicalJson(stored);
  const keys: Keys = { ...stored, operatorSigner: stored.operatorSigner ?? newSeed('operator') };
  for (const role of roles) keys.roles[role] ??= newSeed('account');
  for (const user of users) keys.users[user] ??= newSeed('user');
  if (!existsSync(file) || canonicalJson(keys) !== before) writeWhole(file, `${JSON.stringify(keys, null, 2)}\n`);
  return keys;
}

/** A token that was issued for the same content before, or a new one: so that a second run changes no file. */
async function kept(file: string, content: unknown, issue: () => Promise<string>): Promise<string> {
  const digest = createHash('sha256').update(canonicalJson(content)).digest('hex');
  const [before, token] = existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
  if (before === digest && token !== undefined) return token;
  const issued = await issue();
  writeWhole(file, `${digest}\n${issued}\n`);
  return issued;
}

function configText({ host, port, storeDir, serverName }: NatsSetupOptions, operator: string, accounts: Record<string, string>, systemAccount: string): string {
  return [
    `listen: ${JSON.stringify(`${host}:${port}`)}`,
    `server_name: ${JSON.stringify(serverName ?? 'tokamak')}`,
    `max_payload: ${MAX_PAYLOAD}`,
    'ping_interval: "5s"',
    'ping_max: 2',
    // A host or service on a machine that is short of processor must not be kept out for being slow to say who it is.
    'authorization: { timeout: 10 }',
    'jetstream {',
    `  store_dir: ${JSON.stringify(storeDir)}`,
    '  sync_interval: always',
    '}',
    `operator: ${operator}`,
    `system_account: ${systemAccount}`,
    // On disk and newest first: accounts that auth has replaced since, to revoke somebody, outlive a restart.
    `resolver: { type: full, dir: ${JSON.stringify(join(storeDir, 'accounts'))}, allow_delete: false, interval: "2m" }`,
    'resolver_preload: {',
    ...Object.entries(accounts).map(([key, jwt]) => `  ${key}: ${jwt}`),
    '}',
    '',
  ].join('\n');
}

/** Replaces the file as a whole: no reader and no crash meets half of it. */
function writeWhole(path: string, text: string): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === text) return;
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}.new`;
  const fd = openSync(aside, 'w', 0o600);
  try {
    writeSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(aside, path);
}

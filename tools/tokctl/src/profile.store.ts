// Profiles (which platform, as whom) and their tokens in the user's config directory, readable by him alone. A file is
// replaced in one step, so that a crash leaves the old one or the new one.
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { Failure, usageFailure } from './failures.ts';
import { exit } from './exit-codes.ts';
import { withLock } from './lock.store.ts';

const ProfileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/);
const Profile = z.object({ url: z.string(), user: z.string() });
const Settings = z.object({ current: ProfileName.nullable(), profiles: z.record(ProfileName, Profile) });
const Tokens = z.object({ url: z.string(), userId: z.string(), accessToken: z.string(), accessUntil: z.number(), refreshToken: z.string(), refreshUntil: z.number() });
export type Profile = z.infer<typeof Profile>;
export type Settings = z.infer<typeof Settings>;
/** `url` is repeated here so that a token is never sent to another platform, whatever becomes of the profile. Times in ms since 1970. */
export type Tokens = z.infer<typeof Tokens>;

export class ProfileStore {
  constructor(readonly dir: string) {}

  /** `$XDG_CONFIG_HOME/tokamak`, or `~/.config/tokamak`. */
  static of(env: Readonly<Record<string, string | undefined>>): ProfileStore {
    const { XDG_CONFIG_HOME, HOME } = env;
    return new ProfileStore(join(XDG_CONFIG_HOME?.startsWith('/') ? XDG_CONFIG_HOME : join(HOME ?? homedir(), '.config'), 'tokamak'));
  }

  settings(): Settings {
    return this.read('config.json', Settings) ?? { current: null, profiles: {} };
  }

  tokens(profile: string): Tokens | undefined {
    return this.read(`token-${profile}.json`, Tokens);
  }

  async change(edit: (settings: Settings) => void): Promise<void> {
    this.makeDir();
    await withLock(join(this.dir, 'config.lock'), () => {
      const settings = this.settings();
      edit(settings);
      this.write('config.json', settings);
      return Promise.resolve();
    });
  }

  saveTokens(profile: string, tokens: Tokens): void {
    this.makeDir();
    this.write(`token-${profile}.json`, tokens);
  }

  forgetTokens(profile: string): void {
    rmSync(join(this.dir, `token-${profile}.json`), { force: true });
  }

  /** Where the credentials for the bus of a profile are kept: a standard NATS credentials file. */
  credsFile(profile: string): string {
    return join(this.dir, `bus-${profile}.creds`);
  }

  /** Alone among all commands that use this profile's tokens. */
  alone<T>(profile: string, work: () => Promise<T>): Promise<T> {
    this.makeDir();
    return withLock(join(this.dir, `token-${profile}.lock`), work);
  }

  private makeDir(): void {
    mkdirSync(this.dir, { recursive: true, mode: 0o700 });
  }

  private read<T>(name: string, schema: z.ZodType<T>): T | undefined {
    const file = join(this.dir, name);
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw new Failure(exit.refused, `${file} cannot be read: ${(error as Error).message}`);
    }
    try {
      return schema.parse(JSON.parse(text));
    } catch {
      throw new Failure(exit.refused, `${file} is damaged.`, 'Delete it, then sign in again: tokctl login');
    }
  }

  private write(name: string, value: unknown): void {
    const file = join(this.dir, name);
    const draft = `${file}.${process.pid}`;
    const handle = openSync(draft, 'w', 0o600);
    try {
      writeSync(handle, `${JSON.stringify(value, null, 2)}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(draft, file);
  }
}

export function checkProfileName(name: string): string {
  if (!ProfileName.safeParse(name).success) throw usageFailure(`"${name}" cannot name a profile: letters, digits, dot, dash, underscore.`);
  return name;
}

/** `http://host:8080/` → `http://host:8080`; a usage failure for anything that is no http or https address. */
export function platformUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !['http:', 'https:'].includes(url.protocol) || url.username !== '' || url.search !== '' || url.hash !== '') throw usageFailure(`"${text}" is not an address like http://host:8080 or https://host.`);
  return url.href.replace(/\/+$/, '');
}

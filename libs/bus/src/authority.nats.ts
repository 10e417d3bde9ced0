// Lets users into the bus and shuts them out: signs their credentials, and tells the NATS server whose are revoked. The
// server then ends the connections of those at once. Held by auth alone; what it needs is in one file of the setup.
import { readFile } from 'node:fs/promises';
import type { NatsConnection } from '@nats-io/transport-node';
import { Unavailable } from '#contracts';
import { canonicalJson, ok } from '#kernel';
import type { Result } from '#kernel';
import { z } from 'zod';
import { connectBus } from './connect.nats.ts';
import type { BusLog } from './context.ts';
import { isUserKey, revocationsIn, userJwt, withRevocations } from './nats-jwt.ts';
import type { Revocations } from './nats-jwt.ts';

/** The file: public key of the product's account, two private signing keys, and where the credentials for the server are. */
const AuthorityKeys = z.strictObject({ account: z.string(), userSigner: z.string(), operatorSigner: z.string(), creds: z.string() });
export type AuthorityKeys = z.output<typeof AuthorityKeys>;

const ANSWER_MS = 3_000;
const Answer = z.object({ data: z.object({ code: z.number() }).optional(), error: z.object({ description: z.string() }).optional() });

export class BusAuthority {
  private connection: Promise<NatsConnection> | undefined;

  private constructor(private readonly keys: AuthorityKeys, private readonly url: string, private readonly log: BusLog) {}

  /** Throws when the file is not there or is none of the setup's. */
  static async open({ file, url, log }: { readonly file: string; readonly url: string; readonly log: BusLog }): Promise<BusAuthority> {
    return new BusAuthority(AuthorityKeys.parse(JSON.parse(await readFile(file, 'utf8'))), url, log);
  }

  isUserKey(text: string): boolean {
    return isUserKey(text);
  }

  /** The token that goes into a credentials file; `expiresAt` is wall clock, ms. */
  sign(user: { readonly handle: string; readonly publicKey: string; readonly expiresAt: number }): Promise<string> {
    return userJwt(user, this.keys.account, this.keys.userSigner);
  }

  /**
   * Makes the server refuse these and no others. Idempotent; answers whether anything had to be changed. UNAVAILABLE =
   * the server did not take it: to be repeated.
   */
  async revoke(wanted: Revocations): Promise<Result<boolean>> {
    try {
      const server = await this.server();
      const account = new TextDecoder().decode((await server.request(`$SYS.REQ.ACCOUNT.${this.keys.account}.CLAIMS.LOOKUP`, '', { timeout: ANSWER_MS })).data);
      if (canonicalJson(revocationsIn(account)) === canonicalJson(wanted)) return ok(false);
      const next = await withRevocations(account, wanted, this.keys.operatorSigner);
      const { data, error } = Answer.parse((await server.request('$SYS.REQ.CLAIMS.UPDATE', next, { timeout: ANSWER_MS })).json());
      if (data?.code === 200) return ok(true);
      return Unavailable.fail('The bus did not take the revocation.', { service: 'bus' }, error);
    } catch (error) {
      return Unavailable.fail('The bus cannot be told who is revoked.', { service: 'bus' }, error);
    }
  }

  async close(): Promise<void> {
    const opened = this.connection;
    this.connection = undefined;
    await (await opened?.catch(() => undefined))?.close();
  }

  private async server(): Promise<NatsConnection> {
    this.connection ??= connectBus({ url: this.url, credsFile: this.keys.creds, name: 'authority', log: this.log, timeoutMs: ANSWER_MS });
    try {
      return await this.connection;
    } catch (error) {
      this.connection = undefined;
      throw error;
    }
  }
}

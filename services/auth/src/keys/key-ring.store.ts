// The keys that tokens are signed with. The newest one signs; older ones are believed for as long as a token signed by
// them may live. A private key leaves memory only sealed.
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import type { DataSource } from 'typeorm';
import { execute, fromBit, nextNumber, selectRow, selectRows, transaction } from '#database';
import type { Queryable } from '#database';
import type { Logger } from '#telemetry';
import { seal, unseal } from './seal.ts';
import type { MasterKey } from './seal.ts';
import { actorTokenMs } from './tokens.ts';

/** A new key begins to sign after so long. */
export const keyLifeMs = 30 * 24 * 3_600_000;
/** A key is forgotten when the last token it signed has ended; an hour more covers slow starts. */
const keptMs = keyLifeMs + actorTokenMs + 3_600_000;
const reloadPauseMs = 1_000;

interface KeyRow {
  readonly kid: string;
  readonly x: string;
  readonly sealed: string;
}

interface Key {
  readonly kid: string;
  readonly x: string;
  readonly publicKey: KeyObject;
}

export class KeyRing {
  private keys = new Map<string, Key>();
  private own: { readonly kid: string; readonly privateKey: KeyObject } | undefined;
  private loadedAt = Number.NEGATIVE_INFINITY;

  constructor(private readonly db: DataSource, private readonly master: MasterKey, private readonly log: Logger) {}

  /** The ring with its keys; makes the first one. */
  static async open(db: DataSource, master: MasterKey, log: Logger): Promise<KeyRing> {
    const ring = new KeyRing(db, master, log);
    await ring.renew();
    return ring;
  }

  get signer(): { readonly kid: string; readonly privateKey: KeyObject } {
    if (this.own === undefined) throw new Error('there is no key to sign with');
    return this.own;
  }

  /** Public parts, newest first. */
  list(): { kid: string; kty: 'OKP'; crv: 'Ed25519'; x: string }[] {
    return [...this.keys.values()].map(({ kid, x }) => ({ kid, kty: 'OKP' as const, crv: 'Ed25519' as const, x }));
  }

  /** The public key of that name; looks once a second at most whether another replica has made it. */
  async find(kid: string | undefined): Promise<KeyObject | undefined> {
    if (kid === undefined) return undefined;
    if (!this.keys.has(kid) && performance.now() - this.loadedAt > reloadPauseMs) await this.load();
    return this.keys.get(kid)?.publicKey;
  }

  /** Makes a key when there is none that this process can use, or when the newest is old (`now`: at once); forgets dead ones. Any number of replicas may run it. */
  async renew(now = false): Promise<void> {
    await transaction(this.db, async (tx) => {
      const number = await nextNumber(tx, 'signing-key'); // also makes replicas wait for each other
      const newest = await selectRow<KeyRow & { old: number | string }>(tx,
        `SELECT kid, x, sealed, created_at < UTC_TIMESTAMP(3) - INTERVAL ${keyLifeMs / 1000} SECOND AS old FROM signing_key ORDER BY number DESC LIMIT 1`);
      const usable = newest !== undefined && unseal(this.master, newest.sealed, newest.kid) !== undefined;
      if (newest !== undefined && !usable) this.log.error({ kid: newest.kid }, 'the newest signing key was sealed under another master key; a new one is made');
      if (now || !usable || fromBit(newest.old)) await this.make(tx, number);
      await execute(tx, `DELETE FROM signing_key WHERE created_at < UTC_TIMESTAMP(3) - INTERVAL ${keptMs / 1000} SECOND`);
    });
    await this.load();
  }

  private async make(tx: Queryable, number: number): Promise<void> {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const kid = randomBytes(12).toString('base64url');
    const x = publicKey.export({ format: 'jwk' }).x ?? '';
    await execute(tx, 'INSERT INTO signing_key (kid, number, x, sealed, created_at) VALUES (?, ?, ?, ?, UTC_TIMESTAMP(3))',
      [kid, number, x, seal(this.master, privateKey.export({ format: 'der', type: 'pkcs8' }), kid)]);
  }

  private async load(): Promise<void> {
    this.loadedAt = performance.now();
    const rows = await selectRows<KeyRow>(this.db, 'SELECT kid, x, sealed FROM signing_key ORDER BY number DESC');
    this.keys = new Map(rows.map(({ kid, x }) => [kid, this.keys.get(kid) ?? { kid, x, publicKey: createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }) }]));
    const newest = rows[0];
    if (newest === undefined || this.own?.kid === newest.kid) return;
    const der = unseal(this.master, newest.sealed, newest.kid);
    if (der !== undefined) this.own = { kid: newest.kid, privateKey: createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }) };
  }
}

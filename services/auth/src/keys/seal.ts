// What is done with the one secret that auth keeps in a file: seal private keys, and derive what must be the same again.
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { derivedSecret, keyFor } from '#kernel';

/** 32 random bytes; whoever has them and the database has everything. */
export type MasterKey = Buffer;

export type Purpose = 'seal' | 'api-token' | 'refresh-token' | 'command-body' | 'audit';

const nameOf = (purpose: Purpose): string => `tokamak-auth/${purpose}`;

/** AES-256-GCM; `context` must be the same to open it, so that a sealed value cannot be put in another's place. */
export function seal(master: MasterKey, plain: Buffer, context: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', keyFor(master, nameOf('seal')), nonce).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([cipher.update(plain), cipher.final()]);
  return ['v1', nonce.toString('base64url'), sealed.toString('base64url'), cipher.getAuthTag().toString('base64url')].join('.');
}

/** Undefined when it was sealed under another key or context, or changed. */
export function unseal(master: MasterKey, text: string, context: string): Buffer | undefined {
  const [version, nonce, sealed, tag] = text.split('.');
  if (version !== 'v1' || !nonce || sealed === undefined || !tag) return undefined;
  const bytes = (part: string): Buffer => Buffer.from(part, 'base64url');
  if (bytes(nonce).length !== 12 || bytes(tag).length !== 16) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', keyFor(master, nameOf('seal')), bytes(nonce)).setAAD(Buffer.from(context)).setAuthTag(bytes(tag));
  try {
    return Buffer.concat([decipher.update(bytes(sealed)), decipher.final()]);
  } catch {
    // The tag does not fit; there is no more to know.
    return undefined;
  }
}

/** A secret that nobody stores: made again from what it is about. 43 characters, base64url. */
export const derive = (master: MasterKey, purpose: Exclude<Purpose, 'seal'>, about: string): string =>
  derivedSecret(master, nameOf(purpose), about).toString('base64url');

// Passwords at rest: argon2id (RFC 9106) over the lower-case hex SHA-256 of the password, so that clients that send only
// that hash can sign in too. Parameters stand in the hash, so that they can be raised while old hashes still hold.
import { argon2, createHash, randomBytes, timingSafeEqual } from 'node:crypto';

/** OWASP's second choice: 19 MiB, two passes, one lane. */
export const parameters = { memoryKiB: 19_456, passes: 2, lanes: 1 } as const;
interface Parameters {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly lanes: number;
}

const saltBytes = 16;
const hashBytes = 32;

/** What clients of outside APIs send in place of the password. */
export const digestOf = (password: string): string => createHash('sha256').update(password, 'utf8').digest('hex');

const run = ({ memoryKiB, passes, lanes }: Parameters, message: string, nonce: Buffer): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    argon2('argon2id', { message, nonce, memory: memoryKiB, passes, parallelism: lanes, tagLength: hashBytes }, (error, hash) => {
      if (error) reject(error);
      else resolve(hash);
    });
  });

const text = (bytes: Buffer): string => bytes.toString('base64').replace(/=+$/, '');

/** PHC string format: `$argon2id$v=19$m=…,t=…,p=…$salt$hash`. */
export async function hashDigest(digest: string, using: Parameters = parameters): Promise<string> {
  const salt = randomBytes(saltBytes);
  const hash = await run(using, digest, salt);
  return `$argon2id$v=19$m=${using.memoryKiB},t=${using.passes},p=${using.lanes}$${text(salt)}$${text(hash)}`;
}

export const hashPassword = (password: string): Promise<string> => hashDigest(digestOf(password));

const form = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{43})$/;

function read(stored: string): { using: Parameters; salt: Buffer; hash: Buffer } | undefined {
  const [, memory, passes, lanes, salt, hash] = form.exec(stored) ?? [];
  if (!memory || !passes || !lanes || !salt || !hash) return undefined;
  return { using: { memoryKiB: Number(memory), passes: Number(passes), lanes: Number(lanes) }, salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') };
}

/** Fits no password. Verified where there is no user, so that both cost the same. */
const nobodys = `$argon2id$v=19$m=${parameters.memoryKiB},t=${parameters.passes},p=${parameters.lanes}$${'A'.repeat(22)}$${'A'.repeat(43)}`;

/** Whether the digest fits; the time does not tell whether there is anything to fit. */
export async function fitsDigest(digest: string, stored: string | undefined): Promise<boolean> {
  const known = stored === undefined ? undefined : read(stored);
  const { using, salt, hash } = known ?? read(nobodys)!;
  const same = timingSafeEqual(await run(using, digest, salt), hash);
  return same && known !== undefined;
}

export const fitsPassword = (password: string, stored: string | undefined): Promise<boolean> => fitsDigest(digestOf(password), stored);

/** Made with weaker or other parameters than today's: to be hashed again at the next good sign-in. */
export function isOutdated(stored: string): boolean {
  const known = read(stored);
  return known === undefined || known.using.memoryKiB !== parameters.memoryKiB || known.using.passes !== parameters.passes || known.using.lanes !== parameters.lanes;
}

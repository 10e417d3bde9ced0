// What a NATS credentials file says about its holder. Nothing is verified here: the server does that.

const jwtPart = /-----BEGIN NATS USER JWT-----\s*([^\s-][^\s]*)\s*-+END NATS USER JWT-+/;

interface UserClaims {
  name?: unknown;
  nats?: { tags?: unknown };
}

/** `_INBOX.<id>`, the only inboxes that these credentials may listen to; throws when the text is no credentials file. */
export function inboxPrefixOf(creds: string): string {
  const payload = jwtPart.exec(creds)?.[1]?.split('.')[1];
  if (payload === undefined) throw new Error('this is not a NATS credentials file');
  const { name } = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as UserClaims;
  if (typeof name !== 'string') throw new Error('the NATS credentials name nobody');
  return `_INBOX.${name}`;
}

// The text of an API token: `tok_<id>_<secret>`. The id finds the row, the secret is checked against its hash.

const form = /^tok_([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})_([A-Za-z0-9_-]{43})$/;

export function parseApiToken(text: string): { readonly id: string; readonly secret: string } | undefined {
  const [, id, secret] = form.exec(text) ?? [];
  return id && secret ? { id, secret } : undefined;
}

export const writeApiToken = (id: string, secret: string): string => `tok_${id}_${secret}`;

// The code of a system error, whatever realm the error comes from.

/** `ENOENT` and the like; undefined for anything that has none. */
export const errorCode = (error: unknown): string | undefined =>
  typeof error === 'object' && error !== null && 'code' in error && typeof error.code === 'string' ? error.code : undefined;

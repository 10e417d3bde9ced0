// Tells an error that says "the database does not answer" from one that is a bug: the first passes by itself.

/** Codes of Node and of the MySQL client for a server that is away, going away, or takes nobody more. */
export const outageCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE', 'PROTOCOL_CONNECTION_LOST', 'ER_CON_COUNT_ERROR', 'ER_SERVER_SHUTDOWN',
  'ER_CONNECTION_KILLED',
]);

/** What mysql2 says, without a code, to whoever goes on with a connection that has ended meanwhile. */
const endedConnection = /^Can't (add new command when connection is|write) in closed state$/;
const DEEPEST = 5;

/** Whether the error, or the one that it wraps, comes from a MySQL client that lost or never had its server. */
export function isOutage(error: unknown, depth = 0): boolean {
  if (typeof error !== 'object' || error === null || depth > DEEPEST) return false;
  const { code, message, driverError, cause } = error as { code?: unknown; message?: unknown; driverError?: unknown; cause?: unknown };
  const isAway = typeof code === 'string' ? outageCodes.has(code) : typeof message === 'string' && endedConnection.test(message);
  return isAway || isOutage(driverError, depth + 1) || isOutage(cause, depth + 1);
}

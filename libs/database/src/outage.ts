// Tells an error that says "the database does not answer", or "it has no room", from one that is a bug: those two pass by themselves.

/** `away` = nobody answers; `full` = what it is told to keep finds no room. */
export type Outage = 'away' | 'full';

/** Codes of Node and of the MySQL client for a server that is away, going away, or takes nobody more. */
const awayCodes: ReadonlySet<string> = new Set([
  'ECONNREFUSED', 'ECONNRESET', 'ENOTFOUND', 'EAI_AGAIN', 'ETIMEDOUT', 'EPIPE', 'PROTOCOL_CONNECTION_LOST', 'ER_CON_COUNT_ERROR', 'ER_SERVER_SHUTDOWN',
  'ER_CONNECTION_KILLED',
]);

/** Codes of a server whose disk is full: a table cannot grow, or a file of its own cannot be written. */
const fullCodes: ReadonlySet<string> = new Set(['ER_RECORD_FILE_FULL', 'ER_DISK_FULL', 'ER_TEMP_FILE_WRITE_FAILURE']);
/** Of codes that have other reasons too: `errno: 28`, `Got error 28`. */
const noSpace = /\b(errno:?|Got error) 28\b/;

/** The socket of a server on this machine is a file that it takes away. */
const noSocket = /^connect ENOENT /;

/** What mysql2 says, without a code, to whoever goes on with a connection that has ended meanwhile. */
const endedConnection = /^Can't (add new command when connection is|write) in closed state$/;
const DEEPEST = 5;

/** What of a MySQL server that it lost, never had, or that has no room the error, or the one that it wraps, tells. */
export function outageOf(error: unknown, depth = 0): Outage | undefined {
  if (typeof error !== 'object' || error === null || depth > DEEPEST) return undefined;
  const { code, message, driverError, cause } = error as { code?: unknown; message?: unknown; driverError?: unknown; cause?: unknown };
  return outageIn(code, message) ?? outageOf(driverError, depth + 1) ?? outageOf(cause, depth + 1);
}

function outageIn(code: unknown, message: unknown): Outage | undefined {
  const text = typeof message === 'string' ? message : '';
  if (typeof code !== 'string') return endedConnection.test(text) ? 'away' : undefined;
  if (awayCodes.has(code) || (code === 'ENOENT' && noSocket.test(text))) return 'away';
  return fullCodes.has(code) || (code.startsWith('ER_') && noSpace.test(text)) ? 'full' : undefined;
}

export const isOutage = (error: unknown): boolean => outageOf(error) !== undefined;

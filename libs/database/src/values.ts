// Column values that need care: JSON (text on both servers, because the connection asks for text) and times.

/** A value for a JSON column. */
export const toJson = (value: unknown): string => JSON.stringify(value ?? null);

/** A JSON column's value; SQL NULL gives null. The type is the caller's promise about what he once wrote. */
export function fromJson<T>(column: unknown): T {
  if (column === null || column === undefined) return null as T;
  return (typeof column === 'string' ? JSON.parse(column) : column) as T;
}

/** A datetime column as ISO text, UTC. */
export const isoAt = (column: Date): string => column.toISOString();
export const isoAtOrNull = (column: Date | null): string | null => column?.toISOString() ?? null;

/** A BOOLEAN (tinyint) column, or a condition that the database computed: MariaDB answers that as an INT, MySQL as a BIGINT, which comes as text. */
export const fromBit = (column: number | boolean | string | null): boolean => column === true || Number(column) === 1;

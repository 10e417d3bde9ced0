// SQL as a text with its parameters beside it, so that a value can never become part of the statement.

/** A piece of a statement; `sql` holds one `?` per entry of `params`. */
export interface Sql {
  readonly sql: string;
  readonly params: readonly unknown[];
}

const isSql = (value: unknown): value is Sql =>
  typeof value === 'object' && value !== null && typeof (value as Sql).sql === 'string' && Array.isArray((value as Sql).params);

/** Tagged template: values become parameters, arrays become lists for `IN (…)`, nested pieces are spliced in. */
export function sql(texts: TemplateStringsArray, ...values: readonly unknown[]): Sql {
  let text = texts[0] ?? '';
  const params: unknown[] = [];
  values.forEach((value, index) => {
    if (isSql(value)) {
      text += value.sql;
      params.push(...value.params);
    } else if (Array.isArray(value)) {
      // An empty list matches nothing; `IN ()` would be a syntax error.
      text += value.length === 0 ? 'NULL' : value.map(() => '?').join(', ');
      params.push(...(value as unknown[]));
    } else {
      text += '?';
      params.push(value);
    }
    text += texts[index + 1] ?? '';
  });
  return { sql: text, params };
}

/** Joins conditions with AND; nothing given = always true. */
export function allOf(parts: readonly (Sql | null | undefined)[]): Sql {
  const given = parts.filter((part): part is Sql => part !== null && part !== undefined);
  if (given.length === 0) return { sql: '1 = 1', params: [] };
  return { sql: given.map((part) => `(${part.sql})`).join(' AND '), params: given.flatMap((part) => part.params) };
}

/** Joins conditions with OR; nothing given = never true. */
export function anyOf(parts: readonly Sql[]): Sql {
  if (parts.length === 0) return { sql: '1 = 0', params: [] };
  return { sql: parts.map((part) => `(${part.sql})`).join(' OR '), params: parts.flatMap((part) => part.params) };
}

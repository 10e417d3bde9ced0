// What a migration is: a name for ever and a list of statements. Statements that change tables cannot be rolled back,
// so each one is recorded as it is done and a run that died goes on behind the last recorded one.
export interface Migration {
  /** `NNNN-what` after the owner's prefix; never renamed, never reused. */
  readonly name: string;
  /** One statement each. Never changed once released: add another migration. */
  readonly statements: readonly string[];
}

export function defineMigration(name: string, statements: readonly string[]): Migration {
  if (!/^[a-z0-9][a-z0-9.-]{0,100}$/.test(name)) throw new Error(`"${name}" is not a name of a migration`);
  if (statements.length === 0) throw new Error(`migration ${name} has no statements`);
  return { name, statements };
}

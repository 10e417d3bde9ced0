// A schema of its own for a test, on the server that the test run started, removed at the end.
import { randomBytes } from 'node:crypto';
import mysql from 'mysql2/promise';

export interface TestSchema {
  readonly url: string;
  drop(): Promise<void>;
}

export async function makeTestSchema(name = 'test'): Promise<TestSchema> {
  const admin = process.env['TOK_TEST_MYSQL_URL'];
  if (admin === undefined) throw new Error('TOK_TEST_MYSQL_URL is not set: run this as an integration test');
  const schema = `tok_${name}_${randomBytes(5).toString('hex')}`;
  const run = async (statement: string): Promise<void> => {
    const connection = await mysql.createConnection(admin);
    try {
      await connection.query(statement);
    } finally {
      await connection.end();
    }
  };
  await run(`CREATE DATABASE ${schema} CHARACTER SET utf8mb4`);
  const url = new URL(admin);
  url.pathname = `/${schema}`;
  return { url: url.toString(), drop: () => run(`DROP DATABASE ${schema}`) };
}

// The bare side of the benchmark of commands: answers each request after a commit of what a command writes at least, which
// is its key, its effect and its event. With the same client library and driver, and nothing else.
import { join } from 'node:path';
import mysql from 'mysql2/promise';

const [dist, url, credsFile, subject, database] = process.argv.slice(2);
const { connectBus, silentLog } = await import(join(dist, 'libs/bus/src/index.js'));
const connection = await connectBus({ url, credsFile, name: 'bench-commit', log: silentLog });
const pool = mysql.createPool({ uri: database, connectionLimit: 10 });

async function carryOut({ key, id, text }) {
  const sql = await pool.getConnection();
  try {
    await sql.beginTransaction();
    await sql.query('INSERT INTO bench_command (idem_key, reply) VALUES (?, ?)', [key, text]);
    await sql.query('UPDATE bench_object SET description = ? WHERE id = ?', [text, id]);
    await sql.query('INSERT INTO bench_event (event) VALUES (?)', [text]);
    await sql.commit();
  } finally {
    sql.release();
  }
}

connection.subscribe(subject, { callback: (_error, message) => {
  carryOut(message.json()).then(() => message.respond('{}'), (error) => { process.stderr.write(`${error.stack}\n`); });
} });
await connection.flush();
process.stdout.write('ready\n');

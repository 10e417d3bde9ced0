// The raw side of the bus benchmark: answers every request with the same text, with the same client library.
import { join } from 'node:path';

const [dist, url, credsFile, subject, body] = process.argv.slice(2);
const { connectBus, silentLog } = await import(join(dist, 'libs/bus/src/index.js'));
const connection = await connectBus({ url, credsFile, name: 'bench-echo', log: silentLog });
connection.subscribe(subject, { callback: (_error, message) => message.respond(body) });
await connection.flush();
process.stdout.write('ready\n');

// Stands in for the `nats` command of natscli 0.2 to 0.5 in the tests of the guides, where that is not installed: the commands and flags that
// the pages use, with its names, defaults, outputs and exit statuses. What it does not know it refuses, so that no page grows past it unseen.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { connect, credsAuthenticator, headers } from '@nats-io/transport-node';

const text = { type: 'string' };
const everywhere = { server: { ...text, short: 's' }, creds: text, 'inbox-prefix': text, timeout: text };
const header = { ...text, short: 'H', multiple: true };
const raw = { type: 'boolean', short: 'r' };
const commands = {
  req: { flags: { raw, header }, run: request },
  pub: { flags: { jetstream: { type: 'boolean', short: 'J' }, header }, run: publish },
  sub: { flags: { raw, count: text }, run: subscribe },
};

const log = (line) => process.stderr.write(`${new Date().toTimeString().slice(0, 8)} ${line}\n`);
function refuse(why) {
  process.stderr.write(`nats: error: ${why}\n`);
  process.exit(1);
}

/** Go's duration, as far as pages use it. */
function milliseconds(given) {
  const [, number, unit] = /^(\d+)(ms|s|m)$/.exec(given) ?? refuse(`time: invalid duration "${given}"`);
  return Number(number) * { ms: 1, s: 1_000, m: 60_000 }[unit];
}

/** `K:V`; blanks before the value go. */
function headersOf(given = []) {
  const sent = headers();
  for (const one of given) {
    const [, name, value] = /^([^:]+):\s*(.*)$/.exec(one) ?? refuse(`invalid header "${one}"`);
    sent.set(name, value);
  }
  return sent;
}

/** It makes templates of `{{`: a page must not have that in a body. */
function bodyOf(given) {
  if (given === undefined) refuse('the stand-in reads no body from standard input');
  if (given.includes('{{')) refuse('"{{" in a body begins a template of the nats command');
  return given;
}

async function request(nats, [subject, body], { raw: bare, header: given }, timeout) {
  const sent = bodyOf(body);
  if (!bare) log(`Sending request on "${subject}"`);
  let answer;
  try {
    answer = await nats.request(subject, sent, { timeout, headers: headersOf(given) });
  } catch (error) {
    // It says that nobody is there, says nothing of a time that is over, and ends with 0 both times.
    if (error.isNoResponders?.()) log('No responders are available');
    else if (error.name !== 'TimeoutError') throw error;
    return;
  }
  if (!bare) for (const [name, values] of answer.headers ?? []) for (const value of values) log(`${name}: ${value}`);
  process.stdout.write(`${answer.string()}\n`);
}

async function publish(nats, [subject, body], { jetstream, header: given }, timeout) {
  const sent = bodyOf(body);
  log(`Published ${Buffer.byteLength(sent)} bytes to "${subject}"`);
  if (!jetstream) return void nats.publish(subject, sent, { headers: headersOf(given) });
  const ack = (await nats.request(subject, sent, { timeout, headers: headersOf(given) })).json();
  if (ack.error) throw new Error(ack.error.description);
  log(`Stored in Stream: ${ack.stream} Sequence: ${ack.seq}${ack.duplicate ? ' Duplicate: true' : ''}`);
}

async function subscribe(nats, [subject], { raw: bare, count }) {
  if (!bare) log(`Subscribing on ${subject}`);
  for await (const message of nats.subscribe(subject, count === undefined ? {} : { max: Number(count) })) {
    if (!bare) log(`Received on "${message.subject}"`);
    process.stdout.write(`${message.string()}\n`);
  }
}

async function main(argv) {
  const { values, positionals: [name, ...given] } = parseArgs({ args: argv, allowPositionals: true, options: Object.assign({}, everywhere, ...Object.values(commands).map(({ flags }) => flags)) });
  const command = commands[name] ?? refuse(`the stand-in knows ${Object.keys(commands).join(', ')}`);
  const strange = Object.keys(values).find((flag) => !(flag in everywhere || flag in command.flags));
  if (strange !== undefined) refuse(`unknown long flag '--${strange}'`);
  const { server = process.env.NATS_URL ?? 'nats://127.0.0.1:4222', creds = process.env.NATS_CREDS, timeout = process.env.NATS_TIMEOUT ?? '5s', 'inbox-prefix': inboxPrefix } = values;
  const timeoutMs = milliseconds(timeout);
  const nats = await connect({ servers: server.split(','), reconnect: false, ...(inboxPrefix ? { inboxPrefix } : {}), ...(creds ? { authenticator: credsAuthenticator(readFileSync(creds)) } : {}) });
  try {
    await command.run(nats, given, values, timeoutMs);
    await nats.flush();
  } finally {
    await nats.close();
  }
}

await main(process.argv.slice(2)).catch((error) => refuse(error.message));

// One host's management cable as a process: what connects to 127.0.0.1:<port> inside the host's namespace reaches
// the same port outside. The listening socket is made by a short-lived child inside the namespace and handed over,
// because a socket stays in the namespace where it was opened. Stopping (SIGSTOP) or ending this process cuts the host off.
// Usage: node bus-link.mjs NAMESPACE PORT
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';

const LISTEN_ONLY = 'listen-inside';

/** The child's part: listen, hand the socket over, leave. */
function listenInside(port) {
  const server = createServer();
  server.on('error', (error) => {
    console.error(`cannot listen on 127.0.0.1:${port} inside the namespace: ${error.message}`);
    process.exit(1);
  });
  server.listen({ host: '127.0.0.1', port }, () => {
    process.send('listening', server, {}, () => process.exit(0));
  });
}

/** Joins two sockets in both directions: backpressure by pipe, half-close kept, an error on one ends both. */
function join(inner, outer) {
  for (const [from, to] of [[inner, outer], [outer, inner]]) {
    from.setNoDelay(true);
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => { if (!to.writableEnded) to.destroy(); });
  }
}

function serve(namespace, port) {
  const child = spawn('nsenter', [
    `--net=/run/netns/${namespace}`, '--', process.execPath, fileURLToPath(import.meta.url), LISTEN_ONLY, String(port),
  ], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  child.on('error', (error) => { console.error(error.message); process.exit(1); });
  child.on('exit', (code) => { if (code !== 0) process.exit(1); });
  child.on('message', (_text, server) => {
    console.log(`${namespace} reaches port ${port}`);
    server.on('connection', (inner) => {
      inner.allowHalfOpen = true;
      join(inner, connect({ host: '127.0.0.1', port, allowHalfOpen: true }));
    });
    server.on('error', (error) => { console.error(error.message); process.exit(1); });
  });
}

const [first, second] = process.argv.slice(2);
if (first === LISTEN_ONLY) listenInside(Number(second));
else serve(first, Number(second));

// Serves the page of a console and what it is made of: its own script and style, noVNC and xterm.js. Only files that were
// there when the door opened; the packages' directories are not for the world.
import { createReadStream, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { randomBytes } from 'node:crypto';
import type { FastifyReply } from 'fastify';
import type { RestDoor } from '../rest/rest.door.ts';
import { consolePage, consolePolicy, consoleScript, consoleStyle } from './console-page.ts';

const html = 'text/html; charset=utf-8';
const css = 'text/css; charset=utf-8';
const script = 'text/javascript; charset=utf-8';

interface File { readonly path: string; readonly type: string; readonly file: string }

const require = createRequire(import.meta.url);

function files(): File[] {
  // The package exports its main module alone, which lies beside the others.
  const novnc = dirname(dirname(require.resolve('@novnc/novnc')));
  const modules = ['core', 'vendor'].flatMap((directory) => readdirSync(join(novnc, directory), { recursive: true, withFileTypes: true }))
    .filter((entry) => entry.isFile() && entry.name.endsWith('.js'))
    .map((entry) => join(entry.parentPath, entry.name));
  return [
    ...modules.map((file) => ({ path: `/console/novnc/${relative(novnc, file)}`, type: script, file })),
    { path: '/console/xterm.mjs', type: script, file: join(dirname(require.resolve('@xterm/xterm')), 'xterm.mjs') },
    { path: '/console/xterm.css', type: css, file: join(dirname(dirname(require.resolve('@xterm/xterm'))), 'css/xterm.css') },
    { path: '/console/addon-fit.mjs', type: script, file: join(dirname(require.resolve('@xterm/addon-fit')), 'addon-fit.mjs') },
  ];
}

/** For the answers 404 and 405. */
export const consolePagePaths = ['/console/vnc/:vmId', '/console/serial/:vmId', '/console/console.js', '/console/console.css'].map((path) => ({ method: 'GET', path }));

const nothing = "default-src 'none'; frame-ancestors 'none'";
const headed = (reply: FastifyReply, type: string, policy: string, cache: string): FastifyReply =>
  reply.headers({ 'cache-control': cache, 'content-security-policy': policy, 'content-type': type, 'referrer-policy': 'no-referrer', 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY' });

export function addConsolePages({ app }: RestDoor): void {
  for (const kind of ['vnc', 'serial']) {
    app.get(`/console/${kind}/:vmId`, (_request, reply) => {
      const nonce = randomBytes(16).toString('base64url');
      return headed(reply, html, consolePolicy(nonce), 'no-store').send(consolePage(nonce));
    });
  }
  for (const { path, type, body } of [{ path: '/console/console.js', type: script, body: consoleScript }, { path: '/console/console.css', type: css, body: consoleStyle }]) {
    app.get(path, (_request, reply) => headed(reply, type, nothing, 'max-age=300').send(body));
  }
  for (const { path, type, file } of files()) app.get(path, (_request, reply) => headed(reply, type, nothing, 'max-age=300').send(createReadStream(file)));
}

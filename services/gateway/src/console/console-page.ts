// The page that shows a console in a browser: the screen by noVNC, the serial line by xterm.js. The page is the same for
// every VM; which one is meant stands in its address, and everything it shows comes over the interface that all use.

/**
 * xterm.js makes style elements while it runs, and sets colours as attributes: the elements carry the nonce of this very
 * answer, and attributes of styles are allowed. Scripts come from this door alone.
 */
export const consolePolicy = (nonce: string): string =>
  `default-src 'none'; script-src 'self'; style-src 'self' 'nonce-${nonce}'; style-src-attr 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

export const consolePage = (nonce: string): string => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="style-nonce" content="${nonce}">
<title>Console</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/console/xterm.css">
<link rel="stylesheet" href="/console/console.css">
<script type="module" src="/console/console.js"></script>
</head>
<body>
<header>
<h1 id="name">Console</h1>
<p id="state" role="status">Connecting …</p>
<nav>
<button id="keys" type="button" hidden>Ctrl-Alt-Del</button>
<button id="paste" type="button" hidden>Paste</button>
<button id="full" type="button">Full screen</button>
<button id="again" type="button" hidden>Reconnect</button>
<a id="other" href="/">Serial</a>
</nav>
</header>
<form id="sign-in" hidden>
<h2>Sign in</h2>
<label for="user">User</label><input id="user" autocomplete="username" required>
<label for="password">Password</label><input id="password" type="password" autocomplete="current-password" required>
<button type="submit">Open the console</button>
<p id="refused" role="alert"></p>
</form>
<main id="screen"></main>
</body>
</html>
`;

export const consoleStyle = `html, body { height: 100%; margin: 0 }
body { display: flex; flex-direction: column; background: #14181f; color: #e8ebf0; font: 15px/1.4 system-ui, sans-serif }
header { display: flex; align-items: center; gap: 1rem; padding: .4rem 1rem; background: #1d2330; flex-wrap: wrap }
h1 { font-size: 1rem; margin: 0 }
#state { margin: 0; flex: 1; color: #b6bfcd; min-width: 10rem }
nav { display: flex; gap: .5rem; align-items: center; flex-wrap: wrap }
button { font: inherit; color: #e8ebf0; background: #2d3648; border: 1px solid #4a5670; border-radius: 4px; padding: .2rem .7rem; cursor: pointer }
button:hover { background: #3a4560 }
[hidden] { display: none !important }
a { color: #9dc1ff }
main { flex: 1; min-height: 0; overflow: hidden }
main.serial { padding: .5rem }
form { margin: 4rem auto 0; width: min(20rem, 90%); display: flex; flex-direction: column; gap: .5rem }
form h2 { margin: 0 }
input { font: inherit; padding: .4rem; border-radius: 4px; border: 1px solid #4a5670; background: #0f1218; color: inherit }
#refused { color: #ffb4a8; min-height: 1.4em; margin: 0 }
`;

/** A module for browsers. Tokens stay in memory: a reload asks again, and leaving the page signs out. */
export const consoleScript = String.raw`const [, , kind, vmId] = location.pathname.split('/');
const at = (id) => document.getElementById(id);
const screen = at('screen');
const secrets = { ticket: new URLSearchParams(location.hash.slice(1)).get('ticket'), session: null };
history.replaceState(null, '', location.pathname); // a ticket must not stay in the address

const nonce = document.querySelector('meta[name=style-nonce]').content;
const create = document.createElement.bind(document);
document.createElement = (name, options) => {
  const element = create(name, options);
  if (name === 'style') element.nonce = nonce;
  return element;
};

const say = (text) => { at('state').textContent = text; };
const textOf = (problem) => problem.detail ?? problem.title ?? 'The door did not say why.';

async function send(method, path, body) {
  const headers = { accept: 'application/json', ...(body ? { 'content-type': 'application/json' } : {}), ...(secrets.session ? { authorization: 'Bearer ' + secrets.session.accessToken } : {}) };
  const response = await fetch(path, { method, headers, ...(body ? { body: JSON.stringify(body) } : {}) });
  return { status: response.status, body: await response.json().catch(() => ({})) };
}

/** A request of the one who is signed in; an access token that has ended is renewed once. */
async function ask(method, path, body) {
  const answer = await send(method, path, body);
  if (answer.status !== 401 || !secrets.session) return answer;
  const { refreshToken } = secrets.session;
  secrets.session = null;
  const renewed = await send('POST', '/v1/sessions/refresh', { refreshToken });
  if (renewed.status >= 300) return answer;
  secrets.session = renewed.body;
  return send(method, path, body);
}

function askToSignIn(text) {
  at('sign-in').hidden = false;
  at('refused').textContent = text;
  say('Not signed in.');
  at('user').focus();
}

at('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  const answer = await send('POST', '/v1/sessions', { user: at('user').value, password: at('password').value });
  at('password').value = '';
  if (answer.status >= 300) return askToSignIn(textOf(answer.body));
  secrets.session = answer.body;
  at('sign-in').hidden = true;
  await open();
});

addEventListener('pagehide', () => {
  if (secrets.session) navigator.sendBeacon('/v1/sessions/logout', new Blob([JSON.stringify({ refreshToken: secrets.session.refreshToken })], { type: 'application/json' }));
});

async function takeTicket() {
  const { ticket } = secrets;
  secrets.ticket = null;
  if (ticket) return ticket;
  if (!secrets.session) return askToSignIn('');
  const answer = await ask('POST', '/v1/vms/' + encodeURIComponent(vmId) + '/console-tickets', { kind });
  if (answer.status === 401) return askToSignIn(textOf(answer.body));
  if (answer.status < 300) return answer.body.ticket;
  ended(textOf(answer.body));
}

function ended(text) {
  say(text);
  for (const id of ['keys', 'paste']) at(id).hidden = true;
  at('again').hidden = false;
}

/** Loaded before a socket is opened: whatever comes from then on finds somebody who takes it. */
const load = {
  vnc: () => import('/console/novnc/core/rfb.js'),
  serial: async () => ({ ...await import('/console/xterm.mjs'), ...await import('/console/addon-fit.mjs') }),
};

const show = {
  vnc(socket, { default: RFB }) {
    const rfb = new RFB(screen, socket, { shared: true });
    rfb.scaleViewport = true;
    rfb.background = '#14181f';
    rfb.focusOnClick = true;
    rfb.addEventListener('connect', () => { rfb.focus(); });
    at('keys').hidden = false;
    at('keys').onclick = () => { rfb.sendCtrlAltDel(); rfb.focus(); };
    at('paste').hidden = false;
    at('paste').onclick = async () => { for (const char of (await pasted()) ?? '') rfb.sendKey(char === '\n' ? 0xff0d : keysymOf(char)); rfb.focus(); };
  },
  serial(socket, { Terminal, FitAddon }) {
    screen.classList.add('serial');
    const terminal = new Terminal({ scrollback: 10_000, cursorBlink: true, theme: { background: '#14181f' } });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(screen);
    fit.fit();
    onresize = () => { fit.fit(); };
    const bytes = new TextEncoder();
    terminal.onData((text) => { if (socket.readyState === WebSocket.OPEN) socket.send(bytes.encode(text)); });
    terminal.onBinary((text) => { if (socket.readyState === WebSocket.OPEN) socket.send(Uint8Array.from(text, (char) => char.charCodeAt(0))); });
    socket.addEventListener('message', ({ data }) => { terminal.write(new Uint8Array(data)); });
    at('paste').hidden = false;
    at('paste').onclick = async () => { terminal.paste((await pasted()) ?? ''); terminal.focus(); };
    terminal.focus();
  },
};

/** The clipboard is only there for pages that came over TLS, and for those of this machine. */
const pasted = () => navigator.clipboard?.readText().catch(() => undefined) ?? Promise.resolve(prompt('Text to type into the guest') ?? undefined);
/** X11's keysyms: Latin-1 as it is, everything else by its code point. */
const keysymOf = (char) => (char.codePointAt(0) < 0x100 ? char.codePointAt(0) : 0x01000000 + char.codePointAt(0));

async function open() {
  at('again').hidden = true;
  say('Connecting …');
  const parts = await load[kind]();
  const ticket = await takeTicket();
  if (!ticket) return;
  screen.replaceChildren();
  const socket = new WebSocket('/v1/vms/' + encodeURIComponent(vmId) + '/console?kind=' + kind, ['tokamak.console.v1', 'ticket.' + ticket]);
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('open', () => { say('Connected.'); });
  socket.addEventListener('close', ({ code, reason }) => { ended(reason.replace(/^[A-Z_]+: /, '') || 'The connection broke (' + code + ').'); });
  show[kind](socket, parts);
  if (secrets.session) await nameIt();
}

async function nameIt() {
  const answer = await ask('GET', '/v1/vms/' + encodeURIComponent(vmId));
  if (answer.status !== 200) return;
  at('name').textContent = answer.body.name;
  document.title = answer.body.name + ' – ' + kind;
}

const other = kind === 'vnc' ? 'serial' : 'vnc';
at('other').textContent = other === 'vnc' ? 'Screen' : 'Serial console';
at('other').href = '/console/' + other + '/' + encodeURIComponent(vmId);
at('full').onclick = () => { void document.documentElement.requestFullscreen(); };
at('again').onclick = () => { void open(); };
await open();
`;

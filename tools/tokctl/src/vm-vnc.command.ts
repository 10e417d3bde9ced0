// vm vnc: the screen of a VM for any VNC viewer on this machine. Listens on a loopback port or on a socket of one's own,
// and opens one console per viewer.
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { pipeline } from 'node:stream/promises';
import { askTicket, openConsole, vmNamed } from './console.client.ts';
import type { Context, Options } from './context.ts';
import { Failure, usageFailure } from './failures.ts';
import { exit } from './exit-codes.ts';
import { targetOf } from './session.client.ts';

export interface VncOptions extends Options {
  readonly port?: string;
  readonly socket?: string;
  readonly once?: boolean;
  readonly browser?: boolean;
}

const ownerOnly = 0o177;

export async function serveScreen(context: Context, vm: string, options: VncOptions): Promise<void> {
  const { around } = context;
  const port = portOf(options);
  const vmId = await vmNamed(context, vm);
  if (options.browser === true) {
    // Behind the `#` it is sent to nobody, and no log has it.
    around.out(`${targetOf(around.store, around.env, options).url}/console/vnc/${vmId}#ticket=${(await askTicket(context, { vmId, kind: 'vnc' })).ticket}`);
    around.say('Good for 30 seconds and once: open it in a browser now.');
    return;
  }
  const server = createServer((viewer) => {
    viewer.on('error', () => undefined); // a viewer that breaks off has left
    void relay(context, vmId, viewer).then((failure) => {
      for (const line of failure?.lines ?? []) around.say(line);
      if (options.once === true) server.close();
    });
  });
  around.signal?.addEventListener('abort', () => { server.close(); }, { once: true });
  await listen(server, options.socket ?? port);
  around.out(addressOf(server, options.socket));
  around.say('A VNC viewer may connect there; Ctrl-C ends it.');
  await once(server, 'close');
}

function portOf({ port = '0', socket }: VncOptions): number {
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw usageFailure('--port takes a number from 0 to 65535; 0 = any free one.');
  if (socket !== undefined && port !== '0') throw usageFailure('Give --port or --socket, not both.');
  return Number(port);
}

/** A socket in the file system is its owner's alone; a port is open to everybody on this machine, and to nobody else. */
async function listen(server: Server, where: number | string): Promise<void> {
  const before = process.umask(ownerOnly);
  try {
    if (typeof where === 'number') server.listen(where, '127.0.0.1');
    else server.listen(where);
    await once(server, 'listening');
  } catch (error) {
    throw new Failure(exit.refused, `Cannot listen at ${where}: ${(error as Error).message}`);
  } finally {
    process.umask(before);
  }
}

function addressOf(server: Server, socket: string | undefined): string {
  const address = server.address();
  return socket ?? (typeof address === 'object' && address !== null ? `${address.address}:${address.port}` : '');
}

/** Resolves when the viewer or the console has ended; with what the platform refused, if it did. */
async function relay(context: Context, vmId: string, viewer: Socket): Promise<Failure | undefined> {
  try {
    const console = await openConsole(context, { vmId, kind: 'vnc' });
    await pipeline(viewer, console.stream, viewer).catch(() => undefined); // whichever side broke off, the other one is closed
    console.leave();
    return await console.over;
  } catch (error) {
    viewer.destroy();
    if (error instanceof Failure) return error;
    throw error;
  }
}

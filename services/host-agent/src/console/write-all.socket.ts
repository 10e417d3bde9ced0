// Writes to a socket at the speed of whoever reads there.
import type { Socket } from 'node:net';

/** Fulfilled when the socket takes more, or has closed. */
export function writeAll(socket: Socket, bytes: Uint8Array): Promise<void> {
  if (socket.destroyed || socket.write(bytes)) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.once('drain', done).once('close', done);
  });
}

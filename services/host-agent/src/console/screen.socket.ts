// The screen of one VM: each session is a client of its own of QEMU's VNC server, which shares the screen among them. The
// bytes are RFB and are passed on as they are.
import { connectSocket } from '../qmp/line-client.socket.ts';
import type { VmPaths } from '../vm/command-line.ts';
import type { ConsoleLine, ConsoleSink } from './console-line.ts';
import { writeAll } from './write-all.socket.ts';

export async function openScreen({ vnc }: VmPaths, sink: ConsoleSink): Promise<ConsoleLine> {
  const socket = await connectSocket(vnc);
  socket.on('error', () => undefined); // the end of the reading below tells
  void (async () => {
    try {
      for await (const bytes of socket) await sink.take(bytes as Buffer);
    } catch {
      // A reset is an end like any other.
    }
    sink.onEnd();
  })();
  return { write: (bytes) => writeAll(socket, bytes), close: () => { socket.destroy(); } };
}

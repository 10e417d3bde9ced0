// A way to the database that loses answers: a commit passes and is carried out, and in place of its answer its sender gets
// the end of the connection. Whether it was carried out he cannot know.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

/** After this nothing more of an answer comes: its statement has been carried out, ms. */
const QUIET_MS = 50;

export class CommitCutter {
  /** Answers to commits that were lost. */
  cuts = 0;
  private passing = Infinity;
  private meant = 'COMMIT';
  private readonly open = new Set<Socket>();

  private constructor(private readonly server: Server, readonly url: string) {}

  /** In front of the database of `url`. */
  static async before(url: string): Promise<CommitCutter> {
    const target = new URL(url);
    const server = createServer((client) => { cutter.join(client, connect(Number(target.port), target.hostname)); });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const own = new URL(url);
    own.hostname = '127.0.0.1';
    own.port = String((server.address() as AddressInfo).port);
    const cutter = new CommitCutter(server, own.toString());
    return cutter;
  }

  /** So many commits are answered, the one behind them is not, all others are. `having` = of those alone that come in one packet with this. */
  cutBehind(commits: number, having = 'COMMIT'): void {
    this.passing = commits;
    this.meant = having;
  }

  private join(client: Socket, database: Socket): void {
    let isCut = false;
    let quiet: NodeJS.Timeout | undefined;
    const end = (): void => {
      client.destroy();
      database.destroy();
    };
    const endSoon = (): void => {
      clearTimeout(quiet);
      quiet = setTimeout(end, QUIET_MS);
    };
    for (const socket of [client, database]) {
      this.open.add(socket);
      socket.setNoDelay(true).on('error', end).on('close', () => {
        this.open.delete(socket);
        end();
      });
    }
    client.on('data', (data) => {
      if (!isCut && data.includes('COMMIT') && data.includes(this.meant) && this.passing-- === 0) {
        isCut = true;
        this.cuts += 1;
      }
      database.write(data);
    });
    database.on('data', (data) => {
      if (isCut) endSoon();
      else client.write(data);
    });
  }

  async close(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((resolve) => { this.server.close(resolve); });
  }
}

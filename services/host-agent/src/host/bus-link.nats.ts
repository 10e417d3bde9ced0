// The agent's tie to the bus. It is made in the background and made again after every loss; without it everything on
// the host goes on. After each (re)connection the host joins anew.
import type { NatsConnection } from '@nats-io/transport-node';
import { BusClient, connectBus, serveHost } from '#bus';
import type { BusLog, HostRoute, ServingHost } from '#bus';
import { sleep } from '#kernel';

export interface BusLinkOptions {
  readonly url: string;
  readonly credsFile?: string;
  readonly hostId: string;
  readonly routes: readonly HostRoute[];
  readonly log: BusLog;
  /** The bus is there (again), or away (null). */
  onLink(bus: BusClient | null): void;
}

const retryMs = 2_000;
/** A stop or a copy waits for minutes in its handler; none of them may keep a power-off from being taken. */
const handlersAtOnce = 1_024;

export class BusLink {
  private readonly stopped = new AbortController();
  private connection: NatsConnection | undefined;
  private serving: ServingHost | undefined;
  private linked = false;
  private running: Promise<void> = Promise.resolve();

  constructor(private readonly options: BusLinkOptions) {}

  get isLinked(): boolean {
    return this.linked;
  }

  start(): void {
    this.running = this.run();
  }

  /** Answers what has been received, then hangs up. */
  async stop(): Promise<void> {
    this.stopped.abort();
    await this.serving?.close();
    this.link(null);
    await this.connection?.close();
    await this.running;
  }

  private async run(): Promise<void> {
    const { log } = this.options;
    while (!this.stopped.signal.aborted) {
      try {
        await this.serve();
      } catch (error) {
        log.warn({ err: error, stopping: this.stopped.signal.aborted }, 'no connection to the bus; the VMs go on');
      }
      this.link(null);
      await sleep(retryMs, this.stopped.signal);
    }
  }

  private async serve(): Promise<void> {
    const { url, credsFile, hostId, routes, log } = this.options;
    const connection = await connectBus({ url, name: `host-agent ${hostId}`, log, timeoutMs: 10_000, ...(credsFile === undefined ? {} : { credsFile }) });
    this.connection = connection;
    if (this.stopped.signal.aborted) return connection.close();
    const states = connection.status();
    this.serving = await serveHost(connection, hostId, routes, { log, limits: { running: handlersAtOnce } });
    const bus = new BusClient({ connection, service: 'host-agent' });
    this.link(bus);
    for await (const { type } of states) {
      if (type === 'disconnect') this.link(null);
      if (type === 'reconnect') this.link(bus);
    }
  }

  private link(bus: BusClient | null): void {
    if (bus === null && !this.linked) return;
    this.linked = bus !== null;
    this.options.onLink(bus);
  }
}

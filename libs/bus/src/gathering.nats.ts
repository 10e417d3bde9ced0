// What a process says in one turn of its event loop goes to NATS in one write. The client writes behind each callback; under load most
// of the cost of a message is that write, and the waking of the server for it.
import { NatsConnectionImpl, RequestOne, setTransportFactory } from '@nats-io/nats-core/internal';
import { RequestError } from '@nats-io/nats-core';
import type { NatsConnection, NodeConnectionOptions } from '@nats-io/transport-node';
import { nodeResolveHost, NodeTransport } from '@nats-io/transport-node/lib/node_transport.js';

/** So much is not kept for the end of the turn. */
const MOST_BYTES = 64 * 1024;

class GatheringTransport extends NodeTransport {
  private frames: Uint8Array[] = [];
  private bytes = 0;

  override send(frame: Uint8Array): void {
    this.bytes += frame.length;
    if (this.frames.push(frame) === 1) setImmediate(() => { this.writeOut(); });
    else if (this.bytes >= MOST_BYTES) this.writeOut();
  }

  /** What was said before the end is still said. */
  override async close(error?: Error): Promise<void> {
    this.writeOut();
    await super.close(error);
  }

  private writeOut(): void {
    const { frames } = this;
    this.frames = [];
    this.bytes = 0;
    const [only] = frames;
    if (only !== undefined) super.send(frames.length === 1 ? only : Buffer.concat(frames));
  }
}

/**
 * The client takes each request that has its answer for cancelled too, and makes an error with its stack for that, which nobody gets: one
 * of a gateway's twenty parts of a small question. One error does for all that are.
 */
const cancelled = new RequestError('cancelled');
const cancel = Reflect.get<RequestOne, 'cancel'>(RequestOne.prototype, 'cancel');
RequestOne.prototype.cancel = function (this: RequestOne, error: Error = cancelled): void { cancel.call(this, error); };

/** As `connect` of the client for Node, with that way to write. */
export function connectGathering(options: NodeConnectionOptions): Promise<NatsConnection> {
  setTransportFactory({ factory: () => new GatheringTransport(), dnsResolveFn: nodeResolveHost });
  return NatsConnectionImpl.connect(options);
}

// Pipes on pairs of subjects of a NATS connection. They end when the connection breaks: what was on its way may be lost.
import type { NatsConnection } from '@nats-io/transport-node';
import { Pipe } from './pipe.ts';
import type { PipeOptions } from './pipe.ts';

export interface PipeEnds {
  /** Subject that this end listens to, and the one that it speaks on. */
  readonly from: string;
  readonly to: string;
}

const pipesOf = new WeakMap<NatsConnection, Set<Pipe>>();

/** Listens from now on: messages that this connection sends later find the subscription there. */
export function openPipe(connection: NatsConnection, { from, to }: PipeEnds, options: Omit<PipeOptions, 'publish'>): Pipe {
  const others = pipesOf.get(connection) ?? watched(connection);
  const subscription = connection.subscribe(from, {
    callback: (error, message) => {
      if (error) pipe.close('bus-away');
      else pipe.take(message.data);
    },
  });
  const pipe = new Pipe({
    ...options,
    publish: (frame) => { connection.publish(to, frame); },
    onEnd: (reason) => {
      others.delete(pipe);
      if (!subscription.isClosed()) subscription.unsubscribe();
      options.onEnd(reason);
    },
  });
  others.add(pipe);
  return pipe;
}

/** One watch for all pipes of a connection. */
function watched(connection: NatsConnection): Set<Pipe> {
  const pipes = new Set<Pipe>();
  pipesOf.set(connection, pipes);
  void (async () => {
    for await (const { type } of connection.status()) {
      if (type !== 'disconnect' && type !== 'close') continue;
      for (const pipe of [...pipes]) pipe.close('bus-away');
    }
  })();
  return pipes;
}

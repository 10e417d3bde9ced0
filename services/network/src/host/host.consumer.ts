// What network learns of hosts from compute's events. A host that has come back is told of its switches by the reconciler.
import type { EntityManager } from 'typeorm';
import { hostChanged, hostDeleted } from '#contracts';
import type { EventEnvelope } from '#contracts';
import type { EventConsumer } from '#tasks';
import { dropHost } from '../switch/switch.store.ts';
import { forgetHost, recordHost } from './host.store.ts';

export const hostConsumer: EventConsumer = {
  name: 'network-hosts',
  sources: ['compute'],
  filters: [hostChanged.name, hostDeleted.name],
  handle: async (tx: EntityManager, event: EventEnvelope) => {
    if (event.name === hostDeleted.name) {
      const { hostId } = hostDeleted.data.parse(event.data);
      await forgetHost(tx, hostId);
      await dropHost(tx, hostId);
      return;
    }
    await recordHost(tx, hostChanged.data.parse(event.data).host);
  },
};

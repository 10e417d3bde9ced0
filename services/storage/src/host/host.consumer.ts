// What storage learns of hosts from compute's events.
import type { EntityManager } from 'typeorm';
import { hostChanged, hostDeleted } from '#contracts';
import type { EventEnvelope } from '#contracts';
import type { EventConsumer } from '#tasks';
import type { DatastoreService } from '../datastore/datastore.service.ts';
import { forgetHost, recordHost } from './host.store.ts';

export const hostConsumer = (datastores: DatastoreService): EventConsumer => ({
  name: 'storage-hosts',
  sources: ['compute'],
  filters: [hostChanged.name, hostDeleted.name],
  handle: async (tx: EntityManager, event: EventEnvelope) => {
    if (event.name === hostDeleted.name) {
      const { hostId } = hostDeleted.data.parse(event.data);
      await forgetHost(tx, hostId);
      await datastores.announceHost(tx, hostId);
      return;
    }
    const { host } = hostChanged.data.parse(event.data);
    if (await recordHost(tx, host)) await datastores.announceHost(tx, host.id);
  },
});

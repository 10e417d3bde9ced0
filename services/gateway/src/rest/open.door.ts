// Puts the REST door together from the parts of the process and opens it; `open` is over when it takes requests.
import { allOperations, consoleRoute, imageContentRoute } from '#contracts';
import type { Operation } from '#contracts';
import type { GatewayConfig } from '#config';
import { systemClock } from '#kernel';
import { version } from '#config';
import { AuditDenials } from '#service';
import type { Door, Parts } from '#service';
import type { Denials } from '#tasks';
import { ConsoleDoor } from '../console/console.door.ts';
import type { ConsoleLimits } from '../console/console.door.ts';
import { addConsolePages, consolePagePaths } from '../console/console-pages.door.ts';
import { addPages, pagePaths } from '../pages/pages.door.ts';
import { EventTail } from '../events/event-tail.client.ts';
import { addImageContent } from '../upload/image-content.door.ts';
import type { UploadLimits } from '../upload/content.stream.ts';
import { pieces } from '../waits/long-question.client.ts';
import type { Pieces } from '../waits/long-question.client.ts';
import type { BodyLimits } from './body.stream.ts';
import { SharedGates } from './admission.ts';
import { doorNumbers } from './door.metrics.ts';
import { RestDoor } from './rest.door.ts';

export interface DoorLimits {
  readonly body: BodyLimits;
  readonly headersTimeoutMs: number;
  readonly drainMs: number;
  readonly upload: UploadLimits;
  readonly pieces: Pieces;
  readonly console: ConsoleLimits;
}

export const doorLimits: DoorLimits = {
  body: { bytes: 1024 * 1024, timeMs: 15_000 },
  headersTimeoutMs: 10_000,
  drainMs: 8_000,
  upload: { idleMs: 30_000, tries: 5 },
  pieces,
  console: {
    mostPerUser: 20, mostAtOnce: 1_000, messageBytes: 256 * 1024,
    pingMs: 10_000, checkMs: 30_000, slowMs: 30_000, idleMs: 30 * 60_000, longestMs: 12 * 3_600_000, partingMs: 2_000,
  },
};

/** A door that also tells where it listens. */
export interface RestDoorHandle extends Door {
  url(): string;
}

export function restDoor(parts: Parts<GatewayConfig>, operations: readonly Operation[] = allOperations, limits: DoorLimits = doorLimits): RestDoorHandle {
  const { config, bus, log, nats } = parts;
  const gates = parts.get<SharedGates>(SharedGates);
  let door: RestDoor | undefined;
  let unwatch: (() => Promise<void>) | undefined;
  let url = '';
  return {
    name: 'rest',
    url: () => url,
    async open() {
      unwatch = await gates.callers.watch(nats, log);
      door = new RestDoor({
        bus, log, operations, gates, tail: parts.get(EventTail), clock: systemClock,
        numbers: await doorNumbers(parts.metrics.registry, 'rest'),
        denials: parts.get<Denials>(AuditDenials),
        fixed: [...pagePaths, ...consolePagePaths, imageContentRoute, consoleRoute],
        ...limits,
      });
      addPages(door, operations, parts.health, version);
      addConsolePages(door);
      addImageContent(door, bus, limits.upload);
      const consoles = new ConsoleDoor(door, { bus, nats, callers: gates.callers, log, limits: limits.console });
      consoles.add();
      parts.metrics.gauge('tokamak_consoles_open', 'Consoles that are open at this door', () => consoles.count);
      url = await door.listen(config.TOK_HTTP_PORT, config.TOK_HTTP_HOST);
      log.info({ url }, 'the REST door is open');
    },
    async close() {
      await door?.close();
      await unwatch?.();
    },
  };
}

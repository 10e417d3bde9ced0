// The JSON schemas of everything that crosses a process, by name: the snapshot that tells when a published schema changed.
import { allEvents, allOperations, EventEnvelope, Heartbeat, hostCommands, reports } from '#contracts';
import type { HostOperation, Report } from '#contracts';
import { jsonSchema } from './members.ts';
import type { Json } from './members.ts';

export function schemas(): Readonly<Record<string, Json>> {
  const commands: readonly HostOperation[] = hostCommands;
  const told: readonly Report[] = reports;
  return Object.fromEntries([
    ...allOperations.flatMap(({ name, input, reply }) => [[`${name} input`, jsonSchema(input, 'input')], [`${name} reply`, jsonSchema(reply, 'output')]] as const),
    ...allEvents.map(({ name, version, data }) => [`event ${name} v${version}`, jsonSchema(data, 'output')] as const),
    ...commands.flatMap(({ name, input, reply }) => [[`host ${name} input`, jsonSchema(input, 'input')], [`host ${name} reply`, jsonSchema(reply, 'output')]] as const),
    ...told.map(({ name, body }) => [`report ${name}`, jsonSchema(body, 'output')] as const),
    ['event envelope', jsonSchema(EventEnvelope, 'output')] as const,
    ['heartbeat', jsonSchema(Heartbeat, 'output')] as const,
  ].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

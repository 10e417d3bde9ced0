// The JSON schemas of everything that crosses a process, by name: the snapshot that tells when a published schema changed.
// What has a name of its own stands once, as `shared …`.
import { allEvents, allOperations, EventEnvelope, Heartbeat, hostCommands, NamedSchemas, reports } from '#contracts';
import type { HostOperation, Json, Report } from '#contracts';

export function schemas(): Readonly<Record<string, unknown>> {
  const shared = new NamedSchemas('#/shared ');
  const commands: readonly HostOperation[] = hostCommands;
  const told: readonly Report[] = reports;
  const all: readonly (readonly [string, Json])[] = [
    ...allOperations.flatMap(({ name, input, reply }) => [[`${name} input`, shared.of(input, 'input')], [`${name} reply`, shared.of(reply, 'output')]] as const),
    ...allEvents.map(({ name, version, data }) => [`event ${name} v${version}`, shared.of(data, 'output')] as const),
    ...commands.flatMap(({ name, input, reply }) => [[`host ${name} input`, shared.of(input, 'input')], [`host ${name} reply`, shared.of(reply, 'output')]] as const),
    ...told.map(({ name, body }) => [`report ${name}`, shared.of(body, 'output')] as const),
    ['event envelope', shared.of(EventEnvelope, 'output')],
    ['heartbeat', shared.of(Heartbeat, 'output')],
  ];
  return Object.fromEntries([...all, ...Object.entries(shared.all()).map(([id, schema]) => [`shared ${id}`, schema] as const)].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

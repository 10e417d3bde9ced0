// How long a cold lab takes, and what the services cost when they are ready. Packages and guest image are cached.
import { down, reset } from '../../tools/lab.d/down.mjs';
import { recordedBackends } from '../../tools/lab.d/record.mjs';
import { startServices, stopServices } from '../../tools/lab.d/services.mjs';
import { up } from '../../tools/lab.d/up.mjs';
import { pssOf } from './memory.mjs';

export async function benchColdUp(lab) {
  await reset(lab, { all: false });
  const started = performance.now();
  await up(lab, { only: 'all' });
  return [{ what: 'cold `tools/lab up` to a pinged VM (packages and guest image cached)', measured: (performance.now() - started) / 1000, limit: null, unit: 's', limitText: 'none', ratio: null, target: { mostMeasured: 60 } }];
}

export async function benchServices(lab, services) {
  await stopServices(lab);
  const started = performance.now();
  await startServices(lab, recordedBackends(lab));
  const ready = (performance.now() - started) / 1000;
  const mebi = (names) => names.reduce((sum, name) => sum + pssOf(lab.processes.get(name).pid), 0) / 1024 / 1024;
  const agents = lab.processes.list().map(({ name }) => name).filter((name) => name.startsWith('host-agent'));
  return [
    { what: 'all services and three agents started to ready', measured: ready, limit: null, unit: 's', limitText: 'none', ratio: null, target: { mostMeasured: 10 } },
    { what: 'memory of all services when ready, PSS', measured: mebi(services), limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: { mostMeasured: 900 } },
    { what: 'memory of the largest of three agents when ready, PSS', measured: Math.max(...agents.map((agent) => mebi([agent]))), limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: { mostMeasured: 120 } },
  ];
}

export { down };

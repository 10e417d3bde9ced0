// How long a cold lab takes, and what the services cost when they are ready. Packages and guest image are cached.
import { existsSync, readFileSync } from 'node:fs';
import { down, reset } from '../../tools/lab.d/down.mjs';
import { recordedBackends } from '../../tools/lab.d/record.mjs';
import { startServices, stopServices } from '../../tools/lab.d/services.mjs';
import { up } from '../../tools/lab.d/up.mjs';

/** Proportional set size of a process, bytes. */
function pssOf(pid) {
  const file = `/proc/${pid}/smaps_rollup`;
  return existsSync(file) ? Number(/^Pss:\s+(\d+) kB/m.exec(readFileSync(file, 'utf8'))[1]) * 1024 : 0;
}

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
    { what: 'memory of the three agents when ready, PSS', measured: mebi(agents), limit: null, unit: 'MiB', limitText: 'none', ratio: null, target: {} },
  ];
}

export { down };

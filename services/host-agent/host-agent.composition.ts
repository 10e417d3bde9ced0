// How the parts of an agent are put together, and in which order they start and stop. The drivers are handed in: the
// program gives the real ones, a test may give others.
import { totalmem } from 'node:os';
import type { HostAgentConfig } from '#config';
import { createMetrics, Health } from '#telemetry';
import type { Logger } from '#telemetry';
import { ConsoleSessions } from './src/console/console-sessions.nats.ts';
import type { AgentEnvironment, Drivers, HostIdentity } from './src/environment.ts';
import { Balloons } from './src/balloon/balloons.process.ts';
import { BusLink } from './src/host/bus-link.nats.ts';
import { HostActor } from './src/host/host-actor.ts';
import { inventoryOf, usageMeter } from './src/host/inventory.proc.ts';
import { Reporter } from './src/host/reporter.ts';
import { hostRoutes } from './src/host/routes.handlers.ts';
import { openStateDirectory } from './src/host/state-directory.store.ts';
import { findQemu } from './src/qemu-installation.proc.ts';

export interface RunningAgent {
  readonly healthPort: number;
  readonly host: HostActor;
  /** Drains; guests go on. */
  stop(): Promise<void>;
}

const heartbeatEveryMs = 1_000;
/** How often processes are looked for that nobody here has started, and consoles are kept short. */
const lookEveryMs = 10_000;

/** Guests fill no more than the scheduler lets them: a twentieth stays the host's, at least 512 MiB. */
const keptOf = (memoryBytes: number): number => Math.max(512 * 1024 * 1024, Math.floor(memoryBytes / 20));

const identityOf = (config: HostAgentConfig): HostIdentity => ({
  hostId: config.TOK_HOST_ID, hostName: config.TOK_HOST_NAME, hostDir: config.TOK_HOST_DIR, uplinks: config.TOK_UPLINKS,
  vmUids: config.TOK_VM_UID_RANGE, templateGid: config.TOK_TEMPLATE_GID,
});

/** Throws DirectoryLocked when another agent works on the directory. */
export async function startHostAgent(config: HostAgentConfig, log: Logger, driversOf: () => Promise<Drivers>): Promise<RunningAgent> {
  const identity = identityOf(config);
  const directory = await openStateDirectory(identity.hostDir);
  const drivers = await driversOf();
  const environment: AgentEnvironment = { identity, drivers, qemu: await findQemu(drivers.accelerator), log };
  const reporter = new Reporter(identity.hostId, directory.bootId, directory.epoch, log);
  const consoles = new ConsoleSessions({ hostId: identity.hostId, vmOf: (vmId) => host.placeOf(vmId) });
  const host = await HostActor.open(environment, {
    onVmChange: (status) => {
      reporter.vmChanged(status);
      consoles.vmChanged(status);
    },
    onProgress: (commandId, volumeId, progress) => reporter.progress(commandId, volumeId, progress),
    inventory: () => inventoryOf(environment),
    onSizes: () => balloons.soon(),
  });
  const balloons = new Balloons({ keptBytes: config.TOK_HOST_MEMORY_KEPT ?? keptOf(totalmem()), vms: () => host.balloons(), log });
  const metrics = await createMetrics('host-agent');
  metrics.gauge('tokamak_host_vms', 'VMs that this host keeps', () => host.vmCount);
  metrics.gauge('tokamak_host_consoles', 'Console sessions that this host serves', () => consoles.count);
  metrics.gauge('tokamak_host_memory_short', '1 while the host is short of memory and balloons take it from guests', () => (balloons.isShort ? 1 : 0));
  const health = new Health(metrics.registry);
  const healthPort = await health.listen(config.TOK_HEALTH_PORT, config.TOK_HEALTH_HOST);

  const join = joining(host, reporter, log);
  const link = new BusLink({
    url: config.TOK_NATS_URL, hostId: identity.hostId, routes: hostRoutes(host, drivers, consoles), log,
    ...(config.TOK_NATS_CREDS === undefined ? {} : { credsFile: config.TOK_NATS_CREDS }),
    onLink: (bus) => {
      reporter.use(bus);
      consoles.use(bus?.connection);
      if (bus && host.ready) join();
    },
  });
  health.add('adoption', () => (host.ready ? null : 'the host has not been looked at yet'));
  health.add('bus', () => (link.isLinked ? null : 'no connection to the bus'));
  health.serving();
  link.start();
  const timers = [heartbeats(host, reporter, log), lookingAround(host, join, log)];
  await host.adopt();
  balloons.start();
  join();
  log.info({ hostId: identity.hostId, healthPort, epoch: directory.epoch, accelerator: environment.qemu.accelerator, reason: environment.qemu.acceleratorReason }, 'the agent takes commands');

  return {
    healthPort, host,
    stop: async () => {
      health.stopping();
      for (const timer of timers) clearInterval(timer);
      consoles.stop();
      await link.stop();
      await balloons.stop();
      await host.stop();
      await health.close();
      await directory.release();
    },
  };
}

/** Tells everything about the host; once more when something asked for it meanwhile. */
function joining(host: HostActor, reporter: Reporter, log: Logger): () => void {
  let again = false;
  let running = false;
  const run = async (): Promise<void> => {
    do {
      again = false;
      reporter.joined(await host.status());
    } while (again as boolean);
  };
  return () => {
    again = true;
    if (running) return;
    running = true;
    run().catch((error: unknown) => log.error({ err: error }, 'the host could not tell about itself')).finally(() => { running = false; });
  };
}

function heartbeats(host: HostActor, reporter: Reporter, log: Logger): NodeJS.Timeout {
  const usage = usageMeter();
  const beat = async (): Promise<void> => reporter.heartbeat({ vms: host.vmCount, ready: host.ready, usage: await usage() });
  return setInterval(() => { beat().catch((error: unknown) => log.error({ err: error }, 'a heartbeat failed')); }, heartbeatEveryMs);
}

function lookingAround(host: HostActor, join: () => void, log: Logger): NodeJS.Timeout {
  let before = '';
  const look = async (): Promise<void> => {
    if (!host.ready) return;
    await host.tidy();
    const now = JSON.stringify(await host.unmanaged());
    if (now !== before) join();
    before = now;
  };
  return setInterval(() => { look().catch((error: unknown) => log.error({ err: error }, 'processes could not be listed')); }, lookEveryMs);
}

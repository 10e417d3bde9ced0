// Starts the agent of one host. A wrong environment and a directory that another agent holds end it at once, with words.
import { configExitCode, ConfigError, hostAgentConfig, readConfig } from '#config';
import type { HostAgentConfig } from '#config';
import { createLogger, stopTracing } from '#telemetry';
import type { Logger } from '#telemetry';
import { startHostAgent } from './host-agent.composition.ts';
import type { RunningAgent } from './host-agent.composition.ts';
import { createAccelerator } from './src/accelerator/accelerator.driver.ts';
import { createCgroupDriver } from './src/cgroup/cgroup.driver.ts';
import type { Drivers } from './src/environment.ts';
import { DirectoryLocked } from './src/host/state-directory.store.ts';
import { createSwitchDriver } from './src/switch/switch.driver.ts';
import { createVolumeDriver } from './src/volume/volume.driver.ts';

/** A supervisor usually kills after 20 s or more; nothing is lost when this cuts. */
const stopLimitMs = 14_000;
const lockedExitCode = 75; // EX_TEMPFAIL of sysexits.h

function configuration(): HostAgentConfig {
  try {
    return readConfig(hostAgentConfig);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(configExitCode);
  }
}

async function driversOf(config: HostAgentConfig, log: Logger): Promise<Drivers> {
  const onProblem = (part: string) => (reason: string): void => log.error({ reason }, `${part} is not as it must be`);
  const [switches, cgroups] = await Promise.all([
    createSwitchDriver({ rundir: config.TOK_OVS_RUNDIR, uplinks: config.TOK_UPLINKS, stateDir: config.TOK_HOST_DIR, onProblem: onProblem('the switch') }),
    createCgroupDriver({ name: config.TOK_CGROUP_NAME, onProblem: onProblem('a cgroup') }),
  ]);
  return { switches, cgroups, volumes: createVolumeDriver({ templateGid: config.TOK_TEMPLATE_GID }), accelerator: createAccelerator({ stateDir: config.TOK_HOST_DIR }) };
}

function endOnSignals(agent: RunningAgent, log: Logger): void {
  let stopping = false;
  const stop = async (signal: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping; the guests go on');
    setTimeout(() => process.exit(1), stopLimitMs).unref();
    await agent.stop();
    await stopTracing();
    process.exit(0);
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => void stop(signal));
}

const config = configuration();
const log = createLogger(config.TOK_SERVICE ?? 'host-agent', { level: config.TOK_LOG_LEVEL });
// The state in memory cannot be trusted after these; what is on disk and what runs stands by itself.
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error: unknown) => {
    log.fatal({ err: error }, `${event}; the agent ends, the guests go on`);
    process.exit(1);
  });
}
try {
  endOnSignals(await startHostAgent(config, log, () => driversOf(config, log)), log);
} catch (error) {
  log.fatal({ err: error }, 'the agent cannot start');
  process.exit(error instanceof DirectoryLocked ? lockedExitCode : 1);
}

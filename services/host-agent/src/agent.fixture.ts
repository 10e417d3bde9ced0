// An agent as a process of its own for tests, with simple drivers and the program's own start and stop. With TOK_TEST_CGROUP
// its cgroups are the kernel's.
import { hostAgentConfig, readConfig } from '#config';
import { createLogger } from '#telemetry';
import { startHostAgent } from '../host-agent.composition.ts';
import { createCgroupDriver } from './cgroup/cgroup.driver.ts';
import { simpleDrivers } from './simple-drivers.fixture.ts';

const config = readConfig(hostAgentConfig);
const cgroup = process.env['TOK_TEST_CGROUP'];
const drivers = async () => ({ ...simpleDrivers(), ...(cgroup === undefined ? {} : { cgroups: await createCgroupDriver({ name: cgroup, hostMhz: 2_000 }) }) });
const agent = await startHostAgent(config, createLogger('host-agent', { level: config.TOK_LOG_LEVEL }), drivers);
process.on('SIGTERM', () => void agent.stop().then(() => process.exit(0)));

// An agent as a process of its own for tests, with simple drivers and the program's own start and stop.
import { hostAgentConfig, readConfig } from '#config';
import { createLogger } from '#telemetry';
import { startHostAgent } from '../host-agent.composition.ts';
import { simpleDrivers } from './simple-drivers.fixture.ts';

const config = readConfig(hostAgentConfig);
const agent = await startHostAgent(config, createLogger('host-agent', { level: config.TOK_LOG_LEVEL }), () => Promise.resolve(simpleDrivers()));
process.on('SIGTERM', () => void agent.stop().then(() => process.exit(0)));

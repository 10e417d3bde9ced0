// Every environment variable of every process: the one place that says what can be set, its form, its default and its meaning.
import { z } from 'zod';
import { AbsolutePath, ByteCount, Networks, CgroupName, HostId, HostName, IdRange, NatsUrl, Port, SlotLimits, SystemId, Uplinks, UrlOf } from './values.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'] as const;
export type LogLevel = (typeof logLevels)[number];

/** What every process takes. */
export const processConfig = z.object({
  TOK_SERVICE: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a process name in lower case').optional().describe('name of the process in logs and traces; the default is the program itself'),
  TOK_NATS_URL: NatsUrl.describe('NATS servers, separated by commas'),
  TOK_NATS_CREDS: AbsolutePath.optional().describe('file with the NATS credentials of this process'),
  TOK_LOG_LEVEL: z.enum(logLevels, `must be one of ${logLevels.join(', ')}`).default('info').describe('least severe log line that is written'),
  TOK_HEALTH_HOST: z.string().min(1).default('127.0.0.1').describe('address that /livez, /readyz and /metrics listen on'),
  TOK_HEALTH_PORT: Port.default(0).describe('port of /livez, /readyz and /metrics; 0 = a free one, named in the log'),
  OTEL_EXPORTER_OTLP_ENDPOINT: UrlOf('http', 'https').optional().describe('OpenTelemetry collector (OTLP over HTTP, JSON) that takes the traces'),
  TOK_TRACE_FILE: AbsolutePath.optional().describe('file that finished spans are appended to, one JSON object per line; used when there is no collector'),
});

/** What every process with a database takes. */
export const databaseConfig = z.object({
  TOK_MYSQL_URL: UrlOf('mysql', 'mariadb').describe('the schema of this service, like mysql://user:password@host:3306/schema; with ?socketPath=/run/mysqld/mysqld.sock behind it through the socket of a server on this machine, which takes less than TCP'),
});

/** What every process with durable tasks takes. */
export const redisConfig = z.object({
  TOK_REDIS_URL: UrlOf('redis', 'rediss').describe('Redis that carries the wake-ups of tasks; installations that share one take a database of it each (`redis://host/1`)'),
});

const whole = (least: number, most: number) => z.coerce.number({ error: 'must be a whole number' }).int('must be a whole number').min(least, `must be at least ${least}`).max(most, `must be at most ${most}`);

/** How long tasks that have ended are kept; below a week a repeated command could meet a task that is gone. */
export const retentionConfig = z.object({
  TOK_KEEP_TASKS_DAYS: whole(7, 36_500).default(90).describe('days that tasks are kept after their end; those that need attention, and what an open task still needs, are kept for longer'),
  TOK_KEEP_TASKS: whole(1_000, 1_000_000_000).default(1_000_000).describe('tasks that have ended which are kept at most, by each service; the last week is kept whatever their number'),
});

/** How many tasks may work at one thing at once; the others wait in turn, user by user. */
export const slotConfig = z.object({
  TOK_TASK_SLOTS: SlotLimits.prefault('host.starts=16,host.saves=2,host.copies=4,datastore.copies=4')
    .describe('how many VMs start on a host at once (host.starts), save their memory there (host.saves), how many copies and imports a host works at (host.copies) and a datastore takes (datastore.copies); what is left out has no limit, and with none nothing has'),
});

/** What every service takes that compares what it has written down with what is there. */
export const driftConfig = z.object({
  TOK_DRIFT_EVERY_MS: whole(1_000, 3_600_000).default(15_000).describe('how often what is written down is compared with what is there, ms; a difference is certain at the second look'),
  TOK_DRIFT_ACTS: z.enum(['yes', 'no'], 'must be yes or no').default('yes').describe('no = differences are shown, and nothing is put right or kept apart by itself'),
  TOK_DRIFT_KEEP_DAYS: whole(1, 3_650).default(30).describe('days after which what was kept apart is asked about again; nothing is deleted by itself'),
});

/** A service with a database and no tasks. */
export const databaseServiceConfig = processConfig.extend(databaseConfig.shape);

/** A service with a database and tasks. */
export const serviceConfig = databaseServiceConfig.extend(redisConfig.shape).extend(retentionConfig.shape).extend(slotConfig.shape).extend(driftConfig.shape);

export const schedulerConfig = databaseServiceConfig.extend(driftConfig.shape);

export const authConfig = databaseServiceConfig.extend({
  TOK_DATA_DIR: AbsolutePath.describe('directory for the keys that the process makes: those that tokens are signed with, and the one that secrets of webhooks are made from (monitoring: without it nobody makes webhooks)'),
  TOK_BUS_AUTHORITY_FILE: AbsolutePath.optional().describe('file of the NATS setup with the keys that let users in and shut them out; without it nobody gets bus credentials'),
  TOK_BUS_PUBLIC_URL: NatsUrl.optional().describe('NATS servers as users reach them, separated by commas; the default is TOK_NATS_URL'),
  TOK_AUDIT_KEEP_DAYS: z.coerce.number().int().min(0).max(36_500).default(400).describe('days that records of the audit log are kept; 0 = for ever'),
  TOK_ADMIN_PASSWORD_FILE: AbsolutePath.optional().describe('file that the generated password of the first administrator is written to'),
});

export const monitoringConfig = databaseServiceConfig.extend(retentionConfig.shape).extend({
  TOK_KEEP_EVENTS_DAYS: whole(1, 36_500).default(90).describe('days that events are kept in the log'),
  TOK_KEEP_EVENTS: whole(1_000, 1_000_000_000).default(5_000_000).describe('events that are kept in the log at most, the newest'),
  TOK_DATA_DIR: AbsolutePath.optional().describe('directory for the key that secrets of webhooks are made from; without it nobody makes webhooks'),
  TOK_WEBHOOK_ALLOW: Networks.default([]).describe('networks that webhooks may reach beside the public ones, separated by commas; private, loopback and link-local ones are refused otherwise'),
  TOK_WEBHOOK_PATIENCE_HOURS: whole(1, 8_760).default(72).describe('hours of failed tries after which a webhook is disabled'),
  TOK_KEEP_EVENTS_BYTES: whole(1_048_576, 1e15).default(8 * 1024 ** 3).describe('bytes of events that are kept in the log at most, the newest'),
});

const vmUids = IdRange.default({ first: 200_000, last: 265_535 }).describe('user ids that QEMU processes run under, first-last; the same for compute and on every host of a site');

export const computeConfig = serviceConfig.extend({ TOK_VM_UID_RANGE: vmUids });

export const gatewayConfig = databaseServiceConfig.extend({
  TOK_HTTP_HOST: z.string().min(1).default('127.0.0.1').describe('address that the REST door listens on'),
  TOK_HTTP_PORT: Port.default(8080).describe('port of the REST door; 0 = a free one, named in the log'),
  TOK_HTTP_REQUESTS_PER_SECOND: z.coerce.number().int().min(1).max(1_000_000).default(1_000).describe('requests that one user, and one address, may send per second for long; five times as many at once'),
  TOK_HTTP_SIGN_INS_PER_SECOND: z.coerce.number().int().min(1).max(100_000).default(20).describe('requests without known credentials that one address may send per second for long; ten times as many at once'),
  TOK_COMMANDS_BYTES: whole(1_048_576, 1e15).default(1024 ** 3).describe('bytes of published commands that may wait to be carried out; a stream that is full refuses the next ones and drops none'),
  TOK_COMMANDS_PER_OPERATION: whole(10, 1e9).default(10_000).describe('published commands of one user for one operation that may wait to be carried out; the next ones are refused'),
  TOK_KEEP_DEAD_LETTERS_DAYS: whole(1, 36_500).default(90).describe('days that a published command which was refused is kept among the dead letters'),
  TOK_KEEP_DEAD_LETTERS: whole(10, 1_000_000).default(1_000).describe('dead letters of one user that are kept at most, the newest'),
});

export const hostAgentConfig = processConfig.extend({
  TOK_HOST_ID: HostId.describe('id of this host'),
  TOK_HOST_NAME: HostName.describe('name of this host'),
  TOK_HOST_DIR: AbsolutePath.describe('directory for the VMs, the journals and the sockets of this host'),
  TOK_OVS_RUNDIR: AbsolutePath.describe('run directory of Open vSwitch on this host'),
  TOK_UPLINKS: Uplinks.default({}).describe('JSON object, uplink name to network interface'),
  TOK_CGROUP_NAME: CgroupName.default('tokamak').describe('cgroup that the QEMU processes live under'),
  TOK_HOST_MEMORY_KEPT: ByteCount.optional().describe('bytes of the host’s memory that stay available: where there is less, guests’ balloons inflate; a twentieth of it, at least 512 MiB, if absent'),
  TOK_VM_UID_RANGE: vmUids,
  TOK_TEMPLATE_GID: SystemId.default(199_999).describe('group that may read the files of templates'),
});

/** Every process and its settings, for the generated reference and for finding misspelt names. */
export const processConfigs = [
  { process: 'auth', schema: authConfig },
  { process: 'compute', schema: computeConfig },
  { process: 'network', schema: serviceConfig },
  { process: 'storage', schema: serviceConfig },
  { process: 'templates', schema: serviceConfig },
  { process: 'scheduler', schema: schedulerConfig },
  { process: 'ha', schema: databaseServiceConfig },
  { process: 'monitoring', schema: monitoringConfig },
  { process: 'gateway', schema: gatewayConfig },
  { process: 'host-agent', schema: hostAgentConfig },
] as const;

export type ProcessConfig = z.output<typeof processConfig>;
export type DatabaseConfig = z.output<typeof databaseConfig>;
export type RedisConfig = z.output<typeof redisConfig>;
export type RetentionConfig = z.output<typeof retentionConfig>;
export type DriftConfig = z.output<typeof driftConfig>;
export type SchedulerConfig = z.output<typeof schedulerConfig>;
export type MonitoringConfig = z.output<typeof monitoringConfig>;
export type DatabaseServiceConfig = z.output<typeof databaseServiceConfig>;
export type ServiceConfig = z.output<typeof serviceConfig>;
export type AuthConfig = z.output<typeof authConfig>;
export type ComputeConfig = z.output<typeof computeConfig>;
export type GatewayConfig = z.output<typeof gatewayConfig>;
export type HostAgentConfig = z.output<typeof hostAgentConfig>;

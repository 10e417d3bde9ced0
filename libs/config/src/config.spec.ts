import { describe, expect, it } from '@jest/globals';
import { ConfigError, configReference, gatewayConfig, hostAgentConfig, processConfigs, readConfig, serviceConfig, settings, unknownVariables } from './index.ts';

const service = { TOK_NATS_URL: 'nats://127.0.0.1:4222', TOK_MYSQL_URL: 'mysql://u:p@127.0.0.1:3306/compute', TOK_REDIS_URL: 'redis://127.0.0.1:6379' };
const host = { TOK_NATS_URL: 'nats://127.0.0.1:4222', TOK_HOST_ID: '0198a7c2-0000-7000-8000-000000000001', TOK_HOST_NAME: 'host-1', TOK_HOST_DIR: '/var/lib/tokamak', TOK_OVS_RUNDIR: '/run/openvswitch' };

function problemsOf(read: () => unknown): readonly string[] {
  try {
    read();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

describe('settings', () => {
  it('come typed, with defaults', () => {
    const config = readConfig(serviceConfig, { ...service, TOK_HEALTH_PORT: '8081' });
    expect(config.TOK_HEALTH_PORT).toBe(8081);
    expect(config.TOK_HEALTH_HOST).toBe('127.0.0.1');
    expect(config.TOK_LOG_LEVEL).toBe('info');
    expect(config.TOK_NATS_CREDS).toBeUndefined();
  });

  it('take an empty variable as absent', () => {
    expect(readConfig(serviceConfig, { ...service, TOK_NATS_CREDS: '', TOK_LOG_LEVEL: '' }).TOK_LOG_LEVEL).toBe('info');
    expect(problemsOf(() => readConfig(serviceConfig, { ...service, TOK_REDIS_URL: '' }))).toEqual([expect.stringContaining('TOK_REDIS_URL is not set')]);
  });

  it('report all that is wrong at once, each with its variable and meaning', () => {
    const problems = problemsOf(() => readConfig(serviceConfig, { TOK_NATS_URL: 'http://x', TOK_LOG_LEVEL: 'loud', TOK_HEALTH_PORT: '70000' }));
    expect(problems).toHaveLength(5);
    expect(problems).toEqual(expect.arrayContaining([
      expect.stringMatching(/^TOK_NATS_URL: must be one or more URLs/),
      expect.stringMatching(/^TOK_LOG_LEVEL: must be one of trace, debug/),
      expect.stringMatching(/^TOK_HEALTH_PORT: must be at most 65535/),
      expect.stringMatching(/^TOK_MYSQL_URL is not set: the schema/),
      expect.stringMatching(/^TOK_REDIS_URL is not set/),
    ]));
  });

  it('never repeat a wrong value, which may be a password', () => {
    const problems = problemsOf(() => readConfig(serviceConfig, { ...service, TOK_MYSQL_URL: 'postgres://root:hunter2@db/x' }));
    expect(problems).toHaveLength(1);
    expect(problems.join()).not.toContain('hunter2');
  });

  it('read the lists of a host', () => {
    const config = readConfig(hostAgentConfig, { ...host, TOK_UPLINKS: '{"uplink0":"eth1"}', TOK_VM_UID_RANGE: '300000-300999' });
    expect(config.TOK_UPLINKS).toEqual({ uplink0: 'eth1' });
    expect(config.TOK_VM_UID_RANGE).toEqual({ first: 300_000, last: 300_999 });
    expect(config.TOK_TEMPLATE_GID).toBe(199_999);
    expect(readConfig(hostAgentConfig, host).TOK_VM_UID_RANGE).toEqual({ first: 200_000, last: 265_535 });
  });

  it.each([
    ['TOK_UPLINKS', 'eth1'],
    ['TOK_UPLINKS', '{"uplink0":"an-interface-name-too-long"}'],
    ['TOK_UPLINKS', '{"uplink0":"../x"}'],
    ['TOK_VM_UID_RANGE', '265535-200000'],
    ['TOK_VM_UID_RANGE', '0-10'],
    ['TOK_TEMPLATE_GID', '0'],
    ['TOK_HOST_DIR', 'relative/path'],
    ['TOK_HOST_ID', 'host-1'],
    ['TOK_CGROUP_NAME', '../escape'],
  ])('refuse %s=%s', (name, value) => {
    expect(problemsOf(() => readConfig(hostAgentConfig, { ...host, [name]: value }))).toEqual([expect.stringMatching(`^${name}: `)]);
  });

  it('read how many tasks may work at one thing at once', () => {
    expect(readConfig(serviceConfig, { ...service, TOK_TASK_SLOTS: 'host.starts=2, datastore.copies=1' }).TOK_TASK_SLOTS).toEqual({ 'host.starts': 2, 'datastore.copies': 1 });
    expect(readConfig(serviceConfig, { ...service, TOK_TASK_SLOTS: 'none' }).TOK_TASK_SLOTS).toEqual({});
    expect(readConfig(serviceConfig, service).TOK_TASK_SLOTS).toMatchObject({ 'host.saves': 2 });
    for (const wrong of ['host.starts', 'host.starts=0', 'starts=1', 'host.starts=1,host.starts=2', '{"host.starts":1}']) {
      expect(problemsOf(() => readConfig(serviceConfig, { ...service, TOK_TASK_SLOTS: wrong }))).toEqual([expect.stringMatching('^TOK_TASK_SLOTS: ')]);
    }
  });

  it('of a gateway need a database and no Redis', () => {
    expect(readConfig(gatewayConfig, { TOK_NATS_URL: service.TOK_NATS_URL, TOK_MYSQL_URL: service.TOK_MYSQL_URL }).TOK_HTTP_PORT).toBe(8080);
  });

  it('name a misspelt variable', () => {
    expect(unknownVariables(processConfigs.map(({ schema }) => schema), { TOK_NATS_ULR: 'x', TOK_NATS_URL: 'y', PATH: '/bin', TOK_TEST_NATS_URL: 'z' })).toEqual(['TOK_NATS_ULR']);
  });
});

describe('the configuration reference', () => {
  it('has every variable once, each with a meaning', () => {
    const all = settings();
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(all.filter(({ meaning }) => meaning === '')).toEqual([]);
    expect(all.find(({ name }) => name === 'TOK_NATS_URL')).toMatchObject({ required: true });
    expect(all.find(({ name }) => name === 'TOK_VM_UID_RANGE')).toMatchObject({ required: false, default: '200000-265535', processes: ['compute', 'host-agent'] });
  });

  it('is a table', () => {
    expect(configReference()).toContain('| `TOK_LOG_LEVEL` | least severe log line that is written | `info` | all |');
  });
});

// Host commands can be looked after following a crash, and every event that a service publishes has a contract.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { allEvents, allErrors, hostCommands, NotFoundOnHost, reports } from '#contracts';
import type { HostOperation } from '#contracts';
import * as contracts from '#contracts';
import { sources } from './services.ts';

const commands: readonly HostOperation[] = hostCommands;
const probes = ['read-only', 'qemu-process', 'vm-directory', 'file', 'switch'];
const name = /^[a-z][a-z0-9]*(-[a-z0-9]+)*\.[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const texts = (...directories: readonly string[]) => sources(...directories).map((path) => ({ path, text: readFileSync(path, 'utf8') }));
const membersOf = (command: HostOperation): readonly string[] => ('shape' in command.input ? Object.keys(command.input.shape as object) : []);

describe('host commands', () => {
  it('are named within the grammar, once', () => {
    expect([...commands, ...reports].filter((one) => !name.test(one.name))).toEqual([]);
    expect(new Set(commands.map((command) => command.name)).size).toBe(commands.length);
  });
  it('declare how their effect is found after a crash', () => {
    expect(commands.filter(({ probe }) => !probes.includes(probe)).map((command) => command.name)).toEqual([]);
  });
  it('carry a command id when they change something', () => {
    // A piece of an upload is repeated by its offset, a confirmation by what it names.
    const repeatable = ['upload.write', 'host.confirm'];
    expect(commands.filter((command) => command.probe !== 'read-only' && !membersOf(command).includes('commandId') && !repeatable.includes(command.name)).map((command) => command.name)).toEqual([]);
  });
  it('to a VM carry its epoch, unless they only look', () => {
    expect(commands.filter((command) => command.actor === 'vm' && (!membersOf(command).includes('vmId') || (command.probe !== 'read-only' && !membersOf(command).includes('epoch')))).map((command) => command.name)).toEqual([]);
  });
  it('are all carried out by the agent', () => {
    const exported = new Map(Object.entries(contracts).map(([constant, value]) => [value as unknown, constant]));
    const agent = texts('services/host-agent').map(({ text }) => text).join('\n');
    expect(commands.map((command) => exported.get(command) ?? command.name).filter((constant) => !new RegExp(`\\b${constant}\\b`).test(agent))).toEqual([]);
  });
  it('know the object that is not there by its own code', () => {
    expect(commands.flatMap(({ errors }) => errors).filter(({ kind, code }) => kind === 'not_found' && code !== NotFoundOnHost.code)).toEqual([]);
  });
});

describe('events', () => {
  it('are named <service>.<noun>.<past-verb>, once, and carry an object', () => {
    expect(new Set(allEvents.map((event) => event.name)).size).toBe(allEvents.length);
    expect(allEvents.filter((event) => !('shape' in event.data)).map((event) => event.name)).toEqual([]);
  });
  it('are published by the service that owns them', () => {
    const constants = new Map(Object.entries(contracts).filter(([, value]) => allEvents.some((event) => event === value)).map(([constant, value]) => [constant, value as (typeof allEvents)[number]]));
    const strangers = texts('services').flatMap(({ path, text }) =>
      [...text.matchAll(/\bemit\(\s*\w+,\s*(\w+)/g)].flatMap(([, constant]) => {
        const event = constants.get(constant!);
        return event && !path.includes(`/services/${event.service}/`) ? [`${path} emits ${event.name}`] : [];
      }));
    expect(strangers).toEqual([]);
  });
  it('are all published by somebody', () => {
    const all = texts('services', 'libs/tasks').map(({ text }) => text).join('\n');
    const silent = Object.entries(contracts).filter(([constant, value]) => allEvents.some((event) => event === value) && !new RegExp(`\\b${constant}\\b`).test(all)).map(([constant]) => constant);
    expect(silent).toEqual([]);
  });
});

describe('error codes in the sources', () => {
  it('are all in the registry', () => {
    const quoted = /\bcode(?:\s*===?|\s*!==?|:)\s*'([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)'/g;
    /** Codes of others that look like ours: Node, MySQL, Fastify, TLS. */
    const foreign = /^(ER_|ERR_|FST_|HPE_|ECONN|PROTOCOL_|UNABLE_|DEPTH_|SELF_|CERT_|INVALID_STATE)/;
    const unknown = texts('services', 'libs').flatMap(({ path, text }) => [...text.matchAll(quoted)].map(([, code]) => code!).filter((code) => !allErrors.has(code) && !foreign.test(code)).map((code) => `${path}: ${code}`));
    expect(unknown).toEqual([]);
  });
});

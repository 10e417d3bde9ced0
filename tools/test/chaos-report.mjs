// The part of docs/faults.md about the last chaos run.
import { table } from './matrix-report.mjs';
import { PARTS, writePart } from './page-parts.mjs';

/** What must be empty, by what it is called in the result, and what it says when it is. */
const CHECKS = [
  ['not answered', 'commands without an answer'],
  ['outcomes', 'acknowledged commands with another number of outcomes than one'],
  ['tasks', 'tasks that have not ended, that need attention, or that nobody was told of'],
  ['effects', 'commands of hosts that had their effect twice, or have no end'],
  ['left over', 'rows, files, ports, leases, claims, locks and QEMUs that nothing accounts for'],
  ['cleared', 'what differed from before when the pool was cleared'],
];
/** Looked at in a run of outages alone: nobody can have told them to. */
const GUESTS = ['guests', 'guests that ended while NATS, which brings every command, was away or stood still'];

const INTRODUCTIONS = {
  chaos: [
    '## The chaos run', '',
    'Users give mixed commands by all three doors (REST, request and durable publish on the bus) while everything that the pool consists of is',
    'killed, emptied or stopped in an order that the seed gives. A command that gets no answer is given again under the same key. What was refused',
    '(because another user was quicker, say) is not counted. Journals of the hosts are read while they are written. It shows F20, and parts of F18,',
    'F23, F26 to F29, F32, F39 and F40.',
  ],
  outages: [
    '## The long outages', '',
    'The same users and the same checks, with few faults that are long: NATS is killed and away for ten minutes (F18), it is stopped for one (F19), and the',
    'database and Redis are killed and away for one and two minutes. Users give each command again under its key until it is taken.',
  ],
};
const countsText = (counts = {}) => Object.entries(counts).map(([name, count]) => `${count} ${name}`).join(', ') || '–';
const sum = (counts = {}) => Object.values(counts).reduce((total, one) => total + one, 0);

/** Markdown, between its two marks. */
export function chaosText(result) {
  const { seed, minutes, tasks, when, tookMs = 0, deeds = {}, faults = {}, refused = {}, ownEnds = {}, effects = {}, failed = [], commands = 0, tasksEnded = 0, checks = {} } = result;
  const part = result.outages ? 'outages' : 'chaos';
  const names = Object.keys(deeds).sort();
  const due = Object.keys(deeds).reduce((total, name) => total + sum(deeds[name].ends), 0);
  return [
    PARTS[part].begin, ...INTRODUCTIONS[part], '',
    `\`npm run chaos -- ${result.outages ? '--outages ' : ''}--minutes ${minutes} --seed ${seed} --tasks ${tasks}\` on ${when.slice(0, 10)}: **${result.passed ? 'passed' : 'failed'}**. ${due} of ${tasks} done in ${Math.round(tookMs / 1000)} s, with ${commands} commands, ${sum(faults)} faults and ${sum(refused)} refusals; ${tasksEnded} tasks ended, those of other services among them.`, '',
    ...table(['what must not be', 'found'], (result.outages ? [...CHECKS, GUESTS] : CHECKS).map(([name, what]) => [what, checks[name] === undefined ? 'not looked at' : checks[name].length === 0 ? 'none' : `**${checks[name].length}**`])), '',
    `Effects in the journals of the hosts: ${effects.once ?? 0} commands once, ${effects.refused ?? 0} refused by the host, ${effects.dropped ?? 0} begun and given up without effect.${result.guests === undefined ? '' : ` Guests that were looked at in the outages of NATS: ${result.guests}.`} Processes that ended of themselves and were started again: ${countsText(ownEnds)}.`, '',
    ...table(['done', 'doors', 'ends'], names.map((name) => [name, countsText(deeds[name].doors), countsText(deeds[name].ends)])), '',
    ...table(['fault', 'times'], Object.entries(faults).map(([name, count]) => [name, count])), '',
    ...(failed.length === 0 ? [] : ['### Ended with everything undone', '', ...failed.map((text) => `- ${text.replaceAll(/\s+/g, ' ').slice(0, 300)}`), '']),
    PARTS[part].end, '',
  ].join('\n');
}

export function writeChaosReport(result, say) {
  writePart(result.outages ? 'outages' : 'chaos', chaosText(result), say);
}

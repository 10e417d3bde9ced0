import { SourceTextModule } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { allErrors, consoleCloses, consoleProtocol, NotFound, openConsole, checkConsole, ticketProtocol } from '#contracts';
import { newUuid } from '#kernel';
import { consolePage, consolePolicy, consoleScript } from './console-page.ts';
import { closeOf, closeOfEnd, closeOfFault, originFault, wishOf } from './console.ts';

const vmId = newUuid();
const told = (asked: Partial<Parameters<typeof wishOf>[0]>): unknown => {
  const wish = wishOf({ vmId, kind: 'vnc', protocols: 'tokamak.console.v1, ticket.abc_-9', ...asked });
  return wish.ok ? wish.value : wish.fault.code;
};

describe('a request for a console', () => {
  it('says which one, with its ticket as a subprotocol', () => {
    expect(told({})).toEqual({ vmId, kind: 'vnc', ticket: 'abc_-9' });
    expect(told({ protocols: 'ticket.x,tokamak.console.v1,other' })).toEqual({ vmId, kind: 'vnc', ticket: 'x' });
  });
  it.each([
    ['vm', { vmId: '../etc' }, 'INVALID_ARGUMENT'], ['kind', { kind: 'vga' }, 'INVALID_ARGUMENT'], ['no kind', { kind: undefined }, 'INVALID_ARGUMENT'],
    ['no protocol', { protocols: undefined }, 'INVALID_ARGUMENT'], ['another protocol', { protocols: 'binary, ticket.x' }, 'INVALID_ARGUMENT'],
    ['no ticket', { protocols: 'tokamak.console.v1' }, 'TICKET_INVALID'], ['two tickets', { protocols: 'tokamak.console.v1, ticket.a, ticket.b' }, 'TICKET_INVALID'],
    ['a ticket of another form', { protocols: 'tokamak.console.v1, ticket.a b' }, 'TICKET_INVALID'], ['the dot of the form', { protocols: 'tokamak.console.v1, ticketXabc' }, 'TICKET_INVALID'],
  ] as const)('with a wrong %s is refused', (_what, asked, code) => { expect(told(asked)).toBe(code); });
});

describe('an origin', () => {
  it.each([
    [undefined, 'allowed'], ['http://gw:8080', 'allowed'], ['https://gw:8080', 'allowed'], ['http://gw', 'denied'], ['http://evil.example', 'denied'], ['null', 'denied'], ['', 'denied'], ['http://gw:8080.evil.example', 'denied'],
  ] as const)('%s: %s', (origin, expected) => { expect(originFault(origin, 'gw:8080') === undefined ? 'allowed' : 'denied').toBe(expected); });
});

describe('a close', () => {
  it('of a refusal has its HTTP status in its code, and the code of the registry in its reason', () => {
    expect(closeOfFault(NotFound.fault('There is no VM with this id.', { noun: 'vm', id: vmId }))).toEqual({ code: 4404, reason: 'NOT_FOUND: There is no VM with this id.' });
  });
  it('is in the table, whatever refuses a console', () => {
    const codes = [...openConsole.errors, ...checkConsole.errors, ...allErrors.values()].map((error) => closeOfFault({ code: error.code, detail: '' }).code);
    expect(codes.filter((code) => !(code in consoleCloses))).toEqual([]);
    for (const reason of ['vm-stopped', 'closed', 'agent-stopping', 'bus-away', 'silent', 'lost', 'anything']) expect(closeOfEnd(reason).code in consoleCloses).toBe(true);
  });
  it('fits into its frame, in whole characters', () => {
    const { reason } = closeOf(4500, 'é'.repeat(100));
    expect([Buffer.byteLength(reason), reason]).toEqual([122, 'é'.repeat(61)]);
  });
});

describe('the page', () => {
  it('has no script of its own in it, and a policy that would allow none', () => {
    const page = consolePage('abc');
    expect([...page.matchAll(/<script[^>]*>([^<]*)</g)].map(([, text]) => text)).toEqual(['']);
    expect(page).not.toMatch(/ on[a-z]+=|javascript:| style=/);
    expect(consolePolicy('abc')).toMatch(/script-src 'self';/);
    expect(consolePolicy('abc').match(/unsafe-[a-z]+/g)).toEqual(['unsafe-inline']);
    expect(consolePolicy('abc')).toContain("style-src-attr 'unsafe-inline'");
  });
  it('has a script that a browser can read, and names only what the page has', () => {
    expect(new SourceTextModule(consoleScript).status).toBe('unlinked');
    const ids = new Set([...consolePage('').matchAll(/ id="([a-z-]+)"/g)].map(([, id]) => id!));
    expect([...consoleScript.matchAll(/at\('([a-z-]+)'\)/g)].map(([, id]) => id!).filter((id) => !ids.has(id))).toEqual([]);
  });
  it('offers what the door takes', () => {
    expect(consoleScript).toContain(`['${consoleProtocol}', '${ticketProtocol('')}' + ticket]`);
  });
});

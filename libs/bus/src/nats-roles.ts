// Who may publish and subscribe what: one row per role. The NATS server enforces it, so that nobody can speak as a
// host, a service or a user that he is not. `{{name()}}` is the name in the holder's own credentials.
import { services as ownServices } from '#contracts';

export interface RolePermissions {
  readonly publish: readonly string[];
  readonly subscribe: readonly string[];
  /** May answer a request once, at the subject that the request names, for so long. */
  readonly answersForMs?: number;
  /** Of each connection, enforced by the server; left out = those of the account. */
  readonly limits?: { readonly payloadBytes: number; readonly subscriptions: number };
}

const HOUR_MS = 3_600_000;
const ownInbox = '_INBOX.{{name()}}.>';
const jetStream = ['$JS.API.>', '$JS.ACK.>'];
const discovery = '$SRV.>';
/** What users ask at the bus door. */
export const userRequests = 'tok.v1.user.*.req.>';
/** What the gateway tells users; each can listen to his own alone. */
const userFeeds = 'tok.v1.user.*.evt.>';

/**
 * Holds no subjects of hosts: a door that is broken into must not command them. It passes on the bytes of consoles, which
 * a host takes for the sessions alone that compute has opened there.
 */
const gateway = (services: readonly string[]): RolePermissions => ({
  publish: [...subjectsOf(services), 'tok.v1.evt.gateway.>', 'tok.v1.console.*.*.in', userFeeds, ...jetStream, discovery, ownInbox],
  subscribe: ['tok.v1.gateway.>', 'tok.v1.evt.>', 'tok.v1.console.*.*.out', userRequests, discovery, ownInbox],
  answersForMs: HOUR_MS,
});

const service = (name: string, services: readonly string[]): RolePermissions => ({
  publish: [...subjectsOf(services), 'tok.v1.host.>', `tok.v1.evt.${name}.>`, ...jetStream, discovery, '_INBOX.>'],
  subscribe: [`tok.v1.${name}.>`, 'tok.v1.rpt.*.>', 'tok.v1.hb.*', 'tok.v1.evt.>', discovery, ownInbox],
});

const subjectsOf = (services: readonly string[]): string[] => services.map((name) => `tok.v1.${name}.>`);

const host: RolePermissions = {
  publish: ['tok.v1.rpt.{{name()}}.>', 'tok.v1.hb.{{name()}}', 'tok.v1.console.{{name()}}.*.out'],
  subscribe: ['tok.v1.host.{{name()}}.>', 'tok.v1.console.{{name()}}.*.in', ownInbox],
  answersForMs: HOUR_MS,
};

/** Users' inboxes have a prefix of their own, so that a user may bear the name of a service. */
const user: RolePermissions = {
  publish: ['tok.v1.user.{{name()}}.req.>', 'tok.v1.user.{{name()}}.cmd.>'],
  subscribe: ['tok.v1.user.{{name()}}.evt.>', '_INBOX.user.{{name()}}.>'],
  limits: { payloadBytes: 256 * 1024, subscriptions: 64 },
};

/** What auth does in the server's own account: read the product's account and replace it, to let nobody in who was revoked. */
export const authorityRole = (account: string): RolePermissions => ({
  publish: [`$SYS.REQ.ACCOUNT.${account}.CLAIMS.LOOKUP`, '$SYS.REQ.CLAIMS.UPDATE'],
  subscribe: ['_INBOX.authority.>'],
});

/** For people with the standard tools: looks at services, streams and events; asks no service and no host for anything. */
const ops: RolePermissions = {
  publish: [discovery, '$JS.API.>'],
  subscribe: ['tok.v1.evt.>', 'tok.v1.hb.*', ownInbox],
};

/** Every role by the name of its signing key. */
export function rolesFor(services: readonly string[]): Record<string, RolePermissions> {
  const callable = [...new Set([...ownServices, ...services])];
  const perService = services.map((name) => [`service-${name}`, name === 'gateway' ? gateway(callable) : service(name, callable)] as const);
  return { ...Object.fromEntries(perService), host, user, ops };
}

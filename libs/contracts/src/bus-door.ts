// What users may say on the bus: which operations the door takes, and which of them can be published without waiting. The
// door decides by it, and the documents say the same.
import type { Operation } from './define.ts';

/** Everything that has a route, but for what is about signing in, which a bearer does. */
export const isOpenToUsers = ({ http, permission }: Operation): boolean => http !== undefined && permission !== 'public' && permission !== 'internal';

/** What goes through the stream lies on disk for a while, and so would what is answered. */
const answersSecrets: ReadonlySet<string> = new Set(['monitoring.webhook.create', 'monitoring.webhook.rotate-secret']);
export const holdsSecrets = (name: string): boolean => name.startsWith('auth.') || name.startsWith('compute.console-ticket.') || answersSecrets.has(name);

export const isPublishable = (operation: Operation): boolean => isOpenToUsers(operation) && operation.kind === 'command' && !holdsSecrets(operation.name);

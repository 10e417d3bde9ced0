// What a subject of the bus door says: who asks, and for what. Pure.
import { isOpenToUsers, operationByName } from '#contracts';
import type { Operation } from '#contracts';

export interface Place {
  /** The NATS server lets this user alone publish here. */
  readonly handle: string;
  /** `<service>.<noun>.<verb>` */
  readonly operation: string;
}

const form = /^tok\.v1\.user\.([a-z0-9][a-z0-9_-]{0,31})\.req\.([a-z0-9.-]+)$/;

export function placeOf(subject: string): Place | undefined {
  const [, handle, operation] = form.exec(subject) ?? [];
  return handle === undefined || operation === undefined ? undefined : { handle, operation };
}

/** What users may ask for here. */
export function openOperation(name: string): Operation | undefined {
  const operation = operationByName.get(name);
  return operation !== undefined && isOpenToUsers(operation) ? operation : undefined;
}

/** Another's inbox as reply subject would make us speak to him. */
export const isOwnInbox = ({ subject, reply }: { readonly subject: string; readonly reply?: string }): boolean =>
  reply?.startsWith(`_INBOX.user.${subject.split('.')[3] ?? ''}.`) === true;

// The REST route of a contract, taken apart once: what is in the path, and where a client is expected to put the rest.
import { z } from 'zod';
import type { Operation } from './define.ts';

export const methods = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type Method = (typeof methods)[number];

export interface Route {
  readonly operation: Operation;
  readonly method: Method;
  /** As written in the contract, with `:param`. */
  readonly path: string;
  readonly pathParams: readonly string[];
  /** Every member that a client may send, path parameters included. */
  readonly members: readonly string[];
  /** Documented place of the members that are not in the path. A door takes them from either. */
  readonly rest: 'query' | 'body';
  readonly successStatus: 200 | 201 | 202;
}

/** Members that a door fills in itself and refuses from clients, per operation. */
const doorMembers: Readonly<Record<string, readonly string[]>> = { 'auth.session.login': ['address'], 'compute.console-ticket.create': ['holder'] };
export const membersOfDoor = (operation: { name: string }): readonly string[] => doorMembers[operation.name] ?? [];

const form = /^(GET|POST|PUT|PATCH|DELETE) (\/v1(?:\/(?::[a-z][A-Za-z0-9]*|[a-z0-9-]+))+)$/;

/** Undefined for an operation without route; throws on a route outside the grammar or with a parameter that is no member. */
export function routeOf(operation: Operation): Route | undefined {
  if (operation.http === undefined) return undefined;
  const [, method, path] = form.exec(operation.http) ?? [];
  if (!method || !path || !(operation.input instanceof z.ZodObject)) throw new Error(`"${operation.http}" of ${operation.name} is not METHOD /v1/path with an object as input`);
  const members = Object.keys(operation.input.shape).filter((name) => !membersOfDoor(operation).includes(name));
  const pathParams = path.split('/').filter((part) => part.startsWith(':')).map((part) => part.slice(1));
  const stray = pathParams.find((name) => !members.includes(name));
  if (stray) throw new Error(`:${stray} in the route of ${operation.name} is not a member of its input`);
  return {
    operation, method: method as Method, path, pathParams, members,
    rest: method === 'GET' || method === 'DELETE' ? 'query' : 'body',
    successStatus: operation.task ? 202 : operation.verb === 'create' ? 201 : 200,
  };
}

export const routesOf = (operations: readonly Operation[]): readonly Route[] => operations.flatMap((operation) => routeOf(operation) ?? []);

/** Content of an image: the one route that no operation stands for, because its body is a stream of bytes. */
export const imageContentRoute = { method: 'PUT', path: '/v1/images/:imageId/content' } as const;

/** A console: a WebSocket, which no operation stands for. The ticket comes as a subprotocol, never in the URL. */
export const consoleRoute = { method: 'GET', path: '/v1/vms/:vmId/console' } as const;

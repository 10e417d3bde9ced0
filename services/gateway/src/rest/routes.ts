// The routes of the door as a table made from the contracts, and which methods a path takes.
import { membersOfDoor, methods, routesOf } from '#contracts';
import type { Operation, Route } from '#contracts';

export interface DoorRoute {
  readonly route: Route;
  readonly doorMembers: readonly string[];
  /** Where a made object can be read; undefined when no route reads it. */
  readonly objectPath: string | undefined;
  /** A caller may wait for long on purpose, so his going away is watched. */
  readonly long: boolean;
}

const longerThanMs = 10_000;

export function doorRoutes(operations: readonly Operation[]): readonly DoorRoute[] {
  const routes = routesOf(operations);
  const readable = new Set(routes.filter(({ method }) => method === 'GET').map(({ path }) => path.replace(/:[^/]+/g, ':')));
  return routes.map((route) => ({
    route,
    doorMembers: membersOfDoor(route.operation),
    objectPath: route.successStatus === 201 && readable.has(`${route.path}/:`) ? route.path : undefined,
    long: route.operation.timeoutMs > longerThanMs,
  }));
}

/** Answers which methods a path takes, for 405; empty = there is no such path. */
export function methodsByPath(routes: readonly { readonly method: string; readonly path: string }[]): (path: string) => readonly string[] {
  const patterns = routes.map(({ method, path }) => ({ method, form: new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}$`) }));
  const order: readonly string[] = methods;
  return (path) => {
    const found = new Set(patterns.filter(({ form }) => form.test(path)).map(({ method }) => method));
    const all = found.has('GET') ? [...found, 'HEAD'] : [...found];
    return all.sort((a, b) => order.indexOf(a) - order.indexOf(b));
  };
}

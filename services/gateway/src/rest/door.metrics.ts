// The numbers of a door: requests by operation and status, how long they took, and what was denied.
import type { Registry } from 'prom-client';
import { prometheus } from '#telemetry';

export interface DoorNumbers {
  served(operation: string, status: number, durationMs: number): void;
  denied(operation: string, code: string): void;
}

export async function doorNumbers(registry: Registry, door: 'rest' | 'bus_door' | 'commands'): Promise<DoorNumbers> {
  const label = { rest: 'REST', bus_door: 'bus door', commands: 'published command' }[door];
  const { Counter, Histogram } = await prometheus();
  const registers = [registry];
  const requests = new Counter({ name: `tokamak_${door}_requests_total`, help: `${label} requests answered`, labelNames: ['operation', 'status'], registers });
  const durations = new Histogram({ name: `tokamak_${door}_request_seconds`, help: `Time from the arrival to the answer of a ${label} request`, labelNames: ['operation'], buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30], registers });
  const denials = new Counter({ name: `tokamak_${door}_denials_total`, help: `${label} requests refused for want of credentials, rights or patience`, labelNames: ['operation', 'code'], registers });
  return {
    served: (operation, status, durationMs) => {
      requests.inc({ operation, status });
      durations.observe({ operation }, durationMs / 1000);
    },
    denied: (operation, code) => { denials.inc({ operation, code }); },
  };
}

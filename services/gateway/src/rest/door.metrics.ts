// The numbers of the door: requests by operation and status, how long they took, and what was denied.
import type { Registry } from 'prom-client';

export interface DoorNumbers {
  served(operation: string, status: number, durationMs: number): void;
  denied(operation: string, code: string): void;
}

export async function doorNumbers(registry: Registry): Promise<DoorNumbers> {
  const { Counter, Histogram } = await import('prom-client');
  const registers = [registry];
  const requests = new Counter({ name: 'tokamak_rest_requests_total', help: 'REST requests answered', labelNames: ['operation', 'status'], registers });
  const durations = new Histogram({ name: 'tokamak_rest_request_seconds', help: 'Time from the headers to the answer of a REST request', labelNames: ['operation'], buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30], registers });
  const denials = new Counter({ name: 'tokamak_rest_denials_total', help: 'REST requests refused for want of credentials, rights or patience', labelNames: ['operation', 'code'], registers });
  return {
    served: (operation, status, durationMs) => {
      requests.inc({ operation, status });
      durations.observe({ operation }, durationMs / 1000);
    },
    denied: (operation, code) => { denials.inc({ operation, code }); },
  };
}

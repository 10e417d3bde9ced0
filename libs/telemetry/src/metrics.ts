// The numbers of a process for Prometheus. Everything is read when somebody scrapes; a message costs nothing extra.
import type { CollectFunction, Counter as CounterOf, Registry } from 'prom-client';

/** What the bus server of a process has counted since it started. */
export interface BusNumbers {
  readonly running: number;
  /** Requests dropped unanswered because they named no inbox. */
  readonly dropped: number;
  readonly unknown: number;
  readonly operations: readonly { readonly name: string; readonly requests: number; readonly errors: number; readonly processingMs: number }[];
}

export interface Metrics {
  readonly registry: Registry;
  /** A number that is asked for at each scrape. */
  gauge(name: string, help: string, read: () => number): void;
  /** Counters of the bus, read at each scrape. */
  watchBus(read: () => BusNumbers): void;
}

/** The client library, the same for all who count in this process. */
export const prometheus = (): Promise<typeof import('./prometheus.ts')> => import('./prometheus.ts');

/** A new registry with the numbers of the process: CPU, memory, garbage collection, event-loop lag. */
export async function createMetrics(service: string): Promise<Metrics> {
  const { Counter, Gauge, Registry: PrometheusRegistry, collectDefaultMetrics } = await prometheus();
  const registry = new PrometheusRegistry();
  registry.setDefaultLabels({ service });
  // One sample of the event loop in 50 ms: dozens of idle processes share a small machine.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 50 });
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({ name, help, registers, collect() { this.set(read()); } });
  };
  const perOperation = (name: string, help: string, read: () => Iterable<readonly [string, number]>): void => {
    const collect: CollectFunction<CounterOf<'operation'>> = function (this: CounterOf<'operation'>) {
      this.reset();
      for (const [operation, value] of read()) this.inc({ operation }, value);
    };
    new Counter({ name, help, labelNames: ['operation'], registers, collect });
  };
  const watchBus = (read: () => BusNumbers): void => {
    gauge('tokamak_bus_running', 'Requests being handled', () => read().running);
    gauge('tokamak_bus_dropped', 'Requests dropped unanswered since the start, because they named no inbox', () => read().dropped);
    gauge('tokamak_bus_unknown', 'Requests for unknown operations since the start', () => read().unknown);
    perOperation('tokamak_bus_requests_total', 'Requests answered', () => read().operations.map(({ name, requests }) => [name, requests]));
    perOperation('tokamak_bus_errors_total', 'Requests answered with an error', () => read().operations.map(({ name, errors }) => [name, errors]));
    perOperation('tokamak_bus_seconds_total', 'Time spent in handlers', () => read().operations.map(({ name, processingMs }) => [name, processingMs / 1000]));
  };
  return { registry, gauge, watchBus };
}

// What is taken of the Prometheus client, loaded when a process begins to count.
export { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

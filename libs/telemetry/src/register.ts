// Loaded with `node --import` before a process's own code, so that the first span already has somewhere to go.
import { basename, dirname } from 'node:path';
import { startTracing } from './tracing.ts';

const { TOK_SERVICE, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, TOK_TRACE_FILE: file } = process.env;
const service = TOK_SERVICE || basename(dirname(process.argv[1] ?? 'tokamak'));
await startTracing({ service, endpoint, file });

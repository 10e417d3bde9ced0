// The monitoring service: tasks and events of all services in one view.
import { startService } from '#service';
import { monitoringService } from './monitoring.definition.ts';

await startService(monitoringService);

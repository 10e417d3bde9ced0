// The scheduler: where a VM goes, and the capacity that is held for it.
import { startService } from '#service';
import { schedulerService } from './scheduler.definition.ts';

await startService(schedulerService);

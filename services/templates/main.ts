// Starts templates.
import { startService } from '#service';
import { templatesService } from './templates.definition.ts';

await startService(templatesService);

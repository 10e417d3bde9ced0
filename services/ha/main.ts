// The ha service: host liveness. Acting on it comes with leases.
import { startService } from '#service';
import { haService } from './ha.definition.ts';

await startService(haService);

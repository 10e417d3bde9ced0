// The gateway: the doors of REST, of the bus and of published commands in front of every service.
import { startService } from '#service';
import { gateway } from './gateway.service.ts';

await startService(gateway);

// Starts network.
import { startService } from '#service';
import { networkService } from './network.definition.ts';

await startService(networkService);

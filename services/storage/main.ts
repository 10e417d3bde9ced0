// Starts storage.
import { startService } from '#service';
import { storageService } from './storage.definition.ts';

await startService(storageService);

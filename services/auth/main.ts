// Auth: who may do what, and the proof of it that travels with every request.
import { startService } from '#service';
import { auth } from './auth.service.ts';

await startService(auth);

// The compute service: sites, clusters, hosts, VMs and what is done with them.
import { startService } from '#service';
import { computeService } from './compute.definition.ts';

await startService(computeService);

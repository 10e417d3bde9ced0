// The gateway: the REST door in front of every service.
import { gatewayConfig } from '#config';
import { startService } from '#service';
import { GatewayModule } from './gateway.module.ts';
import { restDoor } from './src/rest/open.door.ts';

await startService({ name: 'gateway', config: gatewayConfig, module: GatewayModule, doors: (parts) => [restDoor(parts)] });

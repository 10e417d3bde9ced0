// The gateway: the doors of REST and of the bus in front of every service.
import { gatewayConfig } from '#config';
import { startService } from '#service';
import { GatewayModule } from './gateway.module.ts';
import { busDoor } from './src/bus/bus.door.ts';
import { gatesOf, restDoor } from './src/rest/open.door.ts';

await startService({
  name: 'gateway', config: gatewayConfig, module: GatewayModule,
  doors: (parts) => {
    const gates = gatesOf(parts);
    return [restDoor(parts, gates), busDoor(parts, gates)];
  },
});

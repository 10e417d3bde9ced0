// What network is made of.
import { Module } from '@nestjs/common';
import { PortGroupHandlers } from './src/port-group/port-group.handlers.ts';
import { PortGroupService } from './src/port-group/port-group.service.ts';
import { PortHandlers } from './src/port/port.handlers.ts';
import { PortService } from './src/port/port.service.ts';
import { SubnetHandlers } from './src/subnet/subnet.handlers.ts';
import { SubnetService } from './src/subnet/subnet.service.ts';
import { SwitchApplier } from './src/switch/switch.applier.ts';
import { SwitchHandlers } from './src/switch/switch.handlers.ts';
import { SwitchService } from './src/switch/switch.service.ts';
import { SwitchTasks } from './src/switch/switch.tasks.ts';

@Module({
  controllers: [SwitchHandlers, PortGroupHandlers, SubnetHandlers, PortHandlers],
  providers: [SwitchApplier, SwitchTasks, SwitchService, PortGroupService, SubnetService, PortService],
})
export class NetworkModule {}

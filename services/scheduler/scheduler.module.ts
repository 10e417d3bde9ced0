// What the scheduler consists of.
import { Module } from '@nestjs/common';
import { PlacementHandlers } from './src/placement/placement.handlers.ts';

@Module({ controllers: [PlacementHandlers] })
export class SchedulerModule {}

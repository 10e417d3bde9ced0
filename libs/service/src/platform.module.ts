// Makes what a service started with injectable everywhere in it: `@Inject(Bus)`, `@Inject(Db)`, and so on.
import { Module } from '@nestjs/common';
import type { DynamicModule, Type, ValueProvider } from '@nestjs/common';

/** Token and value; tokens without value are left out, so that asking for a database that is not there fails at start. */
export type PlatformValues = readonly (readonly [symbol, unknown])[];

@Module({})
export class PlatformModule {
  static of(values: PlatformValues): DynamicModule {
    const providers = values.filter(([, value]) => value !== undefined).map(([provide, useValue]): ValueProvider => ({ provide, useValue }));
    return { module: PlatformModule, global: true, providers, exports: providers };
  }
}

/** The module that holds a whole service. */
@Module({})
export class ServiceRoot {
  static of(platform: DynamicModule, own: Type | DynamicModule, controllers: readonly Type[]): DynamicModule {
    return { module: ServiceRoot, imports: [platform, own], controllers: [...controllers] };
  }
}

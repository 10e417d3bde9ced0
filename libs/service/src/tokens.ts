// What a provider of a service can ask Nest for: `constructor(@Inject(Bus) private readonly bus: BusClient)`.

/** BusClient of `#bus`: requests to other services and to hosts. */
export const Bus = Symbol('Bus');
/** The connection to NATS itself, for what BusClient does not offer. */
export const Nats = Symbol('Nats');
/** DataSource of TypeORM; only in services with migrations. */
export const Db = Symbol('Db');
/** TaskEngine of `#tasks`; only in services with migrations. */
export const Tasks = Symbol('Tasks');
/** Denials of `#tasks`: what is refused by hand goes into the audit log; only in services with migrations. */
export const AuditDenials = Symbol('AuditDenials');
/** Logger of `#telemetry`. */
export const Log = Symbol('Log');
/** The settings that the service's schema reads. */
export const Config = Symbol('Config');
/** Health of `#telemetry`: add a named check. */
export const HealthChecks = Symbol('HealthChecks');
/** Metrics of `#telemetry`. */
export const Numbers = Symbol('Numbers');
/** ActorVerifier of `#bus`: checks the signed actor of a token. */
export const Verifier = Symbol('Verifier');

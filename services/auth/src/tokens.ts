// What the providers of auth ask Nest for, beside the platform's own.

/** MasterKey: the secret that private keys are sealed under. */
export const Master = Symbol('Master');
/** True when the built-in roles and the first administrator are there. */
export const Seeded = Symbol('Seeded');
/** BusAuthority, or null: what lets users in to the bus. */
export const Authority = Symbol('Authority');
/** string[]: where users reach the bus. */
export const BusServers = Symbol('BusServers');

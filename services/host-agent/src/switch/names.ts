// Names in the kernel and in Open vSwitch, made from ids: at most 15 characters, the same on every call, and never a
// word that a user wrote. The last twelve digits of a UUIDv7 are random, so two ids meet once in 2^48.

const tail = (id: string): string => id.slice(-12);

export const bridgeName = (switchId: string): string => `br-${tail(switchId)}`;
export const bondName = (switchId: string): string => `bd-${tail(switchId)}`;
export const tapName = (nicId: string): string => `tap${tail(nicId)}`;
/** The port on which DHCP is answered for one port group. */
export const dhcpPortName = (portGroupId: string): string => `dhc${tail(portGroupId)}`;

/** OpenFlow cookies say whose a flow is, so that it can be replaced and removed alone. */
export const bridgeCookie = '0x746f6b0000000001';
export const nicCookie = (nicId: string): string => `0x1000${tail(nicId)}`;
export const portGroupCookie = (portGroupId: string): string => `0x2000${tail(portGroupId)}`;

// Where a device stands on the guest's PCI bus, from QEMU's `query-pci`: by this the guest's word for a disk (its PCI
// address) and ours (the device's id) meet.
import { z } from 'zod';

export interface PciAddress { readonly bus: number; readonly slot: number; readonly function: number }
export interface PciDevice extends PciAddress { readonly qdev_id: string; readonly pci_bridge?: { readonly devices?: readonly PciDevice[] | undefined } | undefined }

const PciDevice: z.ZodType<PciDevice> = z.object({
  qdev_id: z.string(), bus: z.int(), slot: z.int(), function: z.int(),
  pci_bridge: z.object({ get devices() { return z.array(PciDevice).optional(); } }).optional(),
});
export const PciTree = z.array(z.object({ devices: z.array(PciDevice) }));

/** The address that the guest has given to a device; null where it has none yet. */
export function pciAddressOf(devices: readonly PciDevice[], id: string): PciAddress | null {
  for (const { qdev_id: own, bus, slot, function: part, pci_bridge: bridge } of devices) {
    if (own === id) return { bus, slot, function: part };
    const below = pciAddressOf(bridge?.devices ?? [], id);
    if (below) return below;
  }
  return null;
}

export const sameAddress = (one: PciAddress, other: PciAddress): boolean => one.bus === other.bus && one.slot === other.slot && one.function === other.function;

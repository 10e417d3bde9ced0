// A device's address behind bridges, as QEMU tells it.
import { expect, test } from '@jest/globals';
import { pciAddressOf, PciTree } from './pci-tree.ts';

const told = [{ bus: 0, devices: [
  { bus: 0, slot: 1, function: 0, qdev_id: 'video', irq: 0 },
  { bus: 0, slot: 18, function: 0, qdev_id: 'disk-port-0', pci_bridge: { bus: { number: 0, secondary: 1 }, devices: [{ bus: 1, slot: 0, function: 0, qdev_id: 'disk-virtio-0' }] } },
  { bus: 0, slot: 18, function: 1, qdev_id: 'disk-port-1', pci_bridge: { bus: { number: 0, secondary: 2 } } },
] }];

test('a device is found behind its port, and one that is not there is nowhere', () => {
  const [bus] = PciTree.parse(told);
  expect(pciAddressOf(bus!.devices, 'disk-virtio-0')).toEqual({ bus: 1, slot: 0, function: 0 });
  expect(pciAddressOf(bus!.devices, 'video')).toEqual({ bus: 0, slot: 1, function: 0 });
  expect(pciAddressOf(bus!.devices, 'disk-virtio-1')).toBeNull();
});

import { expect, it } from '@jest/globals';
import { parseMhz, processorMhz } from './processor.proc.ts';

it.each([
  ['3500000\n', 'cpu MHz\t\t: 1200.000\n', 3500], ['', 'model name\t: x\ncpu MHz\t\t: 2595.124\ncpu MHz\t\t: 2600.000\n', 2595], ['', 'processor\t: 0\n', 0],
])('the clock is the highest that is governed, else what the processor says (%j, %j)', (max, cpuinfo, expected) => {
  expect(parseMhz(max, cpuinfo)).toBe(expected);
});
it('the clock of this machine is known', () => {
  expect(processorMhz()).toBeGreaterThan(0);
});

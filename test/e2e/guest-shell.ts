// Runs commands inside a guest by its serial console, where the test guest has a shell: the only way in that needs
// neither the network under test nor the guest agent that the host listens to.
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Vm } from '#contracts';
import { eventually } from './eventually.ts';
import { vmDirectory } from './world.ts';
import type { World } from './world.ts';

export interface Ran { readonly status: number; readonly output: string }

/** Runs one line of shell in the guest; the guest must have booted. The line may be run twice. */
export async function inGuest(world: World, vm: Vm, line: string, withinMs = 20_000): Promise<Ran> {
  const socket = await attach(join(vmDirectory(world, vm), 'run', 'ser.sock'));
  let heard = '';
  socket.setEncoding('latin1').on('data', (text: string) => { heard += text; });
  try {
    // The terminal echoes what is typed: quotes inside the marks tell the echo from the answer.
    const mark = Math.random().toString(36).slice(2, 8);
    const command = `echo BE""GIN-${mark}; ${line}; echo E""ND-${mark} $?\n`;
    const answer = new RegExp(`BEGIN-${mark}\\r?\\n([\\s\\S]*?)END-${mark} (\\d+)`);
    const typed = { at: 0 };
    return await eventually(`${vm.name} runs ${line}`, () => {
      const [, output, status] = answer.exec(heard) ?? [];
      if (output !== undefined) return { status: Number(status), output: withoutCounter(output) };
      if (!heard.includes(`BEGIN-${mark}`) && performance.now() - typed.at > 4_000) { // the shell may not listen yet
        typed.at = performance.now();
        socket.write(`\n${command}`);
      }
      return undefined;
    }, { withinMs, everyMs: 50 });
  } finally {
    socket.destroy();
  }
}

/** The guest's counter writes on the same line. */
const withoutCounter = (text: string): string => text.replaceAll('\r', '').split('\n').filter((line) => !/^COUNT \d/.test(line)).join('\n').trim();

function attach(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    socket.once('error', reject).once('connect', () => { resolve(socket); });
  });
}

/** Whether one guest reaches an address; three tries, since the first packet may wait for ARP. */
export async function pings(world: World, from: Vm, ip: string): Promise<boolean> {
  return (await inGuest(world, from, `ping -c 3 -W 2 ${ip} >/dev/null`)).status === 0;
}

/** Those of several addresses that one guest reaches, asked at once: to hear nothing from each would be waited for one after another. */
export async function reached(world: World, from: Vm, ips: readonly string[]): Promise<string[]> {
  const { output } = await inGuest(world, from, `for ip in ${ips.join(' ')}; do (ping -c 3 -W 2 $ip >/dev/null && echo "heard $ip") & done; wait`);
  return [...output.matchAll(/heard (\d+(?:\.\d+){3})/g)].map(([, ip]) => ip!);
}

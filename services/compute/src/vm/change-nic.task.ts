// Puts a NIC on another port group or address. On the way back the address that it had may be somebody else's by then:
// it gets another one of its old port group, and the spec says which.
import { AddressTaken, movePort, type PortGroupId, type ReplyOf, type VmId, type VmSpec } from '#contracts';
import { FaultError } from '#kernel';
import { asResult, defineTask, type StepContext, type TaskKind } from '#tasks';
import { adjust, adjustBack, hostNicOf, retryHostForMs, setSpec, withNic, type Plugged, type PlugInput } from './plug.steps.task.ts';
import { endUntouched, endsOf } from './vm-end.task.ts';

type Nic = VmSpec['nics'][number];
type Port = ReplyOf<typeof movePort>;
export interface ChangeNicInput extends PlugInput { readonly vmId: VmId; readonly nic: Nic; readonly portGroupId: PortGroupId; readonly ip: string | null }

const wired = (nic: Nic, { portGroupId, ip }: Port): Nic => ({ ...nic, portGroupId, ip });
const movedNic = (ctx: StepContext<ChangeNicInput>): Nic => wired(ctx.input.nic, ctx.output<Port>('move-port'));

async function moveBack(ctx: StepContext<ChangeNicInput>): Promise<Port> {
  const { portId, portGroupId, ip } = ctx.input.nic;
  const back = await asResult(ctx.request(movePort, { portId, portGroupId, ip }, { part: 'back' }));
  if (back.ok) return back.value;
  if (back.fault.code !== AddressTaken.code) throw new FaultError(back.fault);
  return ctx.request(movePort, { portId, portGroupId, ip: null }, { part: 'back-anywhere' });
}

export const changeNicTask: TaskKind<ChangeNicInput> = defineTask<ChangeNicInput>({
  kind: 'compute.vm.change-nic',
  object: 'vm',
  steps: [
    {
      name: 'move-port',
      foreseeable: true,
      run: (ctx) => ctx.request(movePort, { portId: ctx.input.nic.portId, portGroupId: ctx.input.portGroupId, ip: ctx.input.ip }),
      // The host is told here too, and not by an undo of its own step: only now is the port what it was.
      undo: async (ctx) => {
        const nic = wired(ctx.input.nic, await moveBack(ctx));
        await setSpec(ctx, withNic(nic));
        if (ctx.input.running !== null) await adjustBack(ctx, { kind: 'change-nic', nic: await hostNicOf(ctx, nic) });
      },
    },
    { name: 'record', run: (ctx) => setSpec(ctx, withNic(movedNic(ctx))) },
    {
      name: 'rewire',
      retryForMs: retryHostForMs,
      run: async (ctx): Promise<Plugged> => ({ guest: ctx.input.running === null ? null : await adjust(ctx, { kind: 'change-nic', nic: await hostNicOf(ctx, movedNic(ctx)) }, 'plug') }),
    },
  ],
  onFinished: endsOf({ succeeded: endUntouched, failed: endUntouched }),
});

// What the tests take from the lab's tools, in one place that has types beside it (lab.d.mts).
export { openLab } from '../../tools/lab.d/lab.mjs';
export { readRecord } from '../../tools/lab.d/record.mjs';
export { signIn } from '../../tools/lab.d/demo.mjs';
export { waitReady, agentName } from '../../tools/lab.d/services.mjs';
export { crash, cutHost, cutUplink, freeze, healHost, healUplink, leaveRoom, moveBack, moveToOwnDisk, powerOffHost, powerOnHost, restart, startAgain, thaw } from '../../tools/lab.d/faults.mjs';
export { pingFromUplink, runOnUplink } from '../../tools/lab.d/uplink.mjs';
export { cacheDir } from '../../tools/lab.d/layout.mjs';
export { shellEnv } from '../../tools/lab.d/shell.mjs';
export { inside, processesInside } from '../../tools/lab.d/namespaces.mjs';
export { vsctl } from '../../tools/lab.d/ovs.mjs';
export { run, succeeds } from '../../tools/lab.d/run.mjs';
export { startRedis } from '../../tools/lab.d/redis.mjs';
export { bootRetriesFile, testLabDir, traceFile } from './place.mjs';

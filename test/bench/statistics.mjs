// Figures of a series: what the reports show. Pure.

/** The value below which `share` (0..1) of the sorted series lies. */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export const median = (values) => percentile(values, 0.5);

/** Times `count` runs of `work` one after another, ms each, after `warmUp` runs that do not count. */
export async function series(count, work, warmUp = Math.ceil(count / 10)) {
  for (let index = 0; index < warmUp; index++) await work(index - warmUp);
  const times = [];
  for (let index = 0; index < count; index++) {
    const started = performance.now();
    await work(index);
    times.push(performance.now() - started);
  }
  return times;
}

/** How many runs per second `lanes` parallel loops get through in `count` runs. */
export async function throughput(count, lanes, work) {
  let left = count;
  const started = performance.now();
  await Promise.all(Array.from({ length: lanes }, async () => { while (left-- > 0) await work(); }));
  return (count * 1000) / (performance.now() - started);
}

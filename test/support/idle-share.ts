const MILLISECONDS = 700;

/**
 * The processor time that this process uses while it waits, as a share of what it gets for work in as much time: near 0 for
 * one that sleeps, 1 or more for one that spins. A share holds on a machine that others keep busy, where times do not.
 */
export async function idleShare(): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 100));
  const beforeIdle = process.cpuUsage();
  await new Promise((resolve) => setTimeout(resolve, MILLISECONDS));
  const idle = process.cpuUsage(beforeIdle);
  const beforeWork = process.cpuUsage();
  const until = performance.now() + MILLISECONDS;
  while (performance.now() < until) {
    // This is the work.
  }
  const work = process.cpuUsage(beforeWork);
  return (idle.user + idle.system) / (work.user + work.system);
}

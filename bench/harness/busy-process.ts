/** Keeps one core busy until its parent kills it or is gone: the noisy neighbour of --contended. */

const SLICE_MILLISECONDS = 50;

/** Spins in slices, so that the loss of the parent is noticed in between. */
function spin(): void {
  const end = performance.now() + SLICE_MILLISECONDS;
  while (performance.now() < end) {}
  setImmediate(spin);
}

process.on("disconnect", () => process.exit());
process.send?.("busy");
spin();

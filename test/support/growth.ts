const PARTS = 16;
const ATTEMPTS = 4;
/** What takes less is too short to be compared: work that grows with the square of a length worth testing takes far more. */
const LEAST_MILLISECONDS = 5;

/**
 * How much more processor time work takes at a length than sixteen times at a sixteenth of it: about 1 where time grows as the
 * length does, about 16 where it grows with its square. A ratio holds on a slow or busy machine, where times do not.
 */
export function growth(work: (length: number) => void, length: number): number {
  const part = Math.ceil(length / PARTS);
  let whole = Infinity;
  let parts = Infinity;
  // The least of some attempts counts, as nothing makes work take less than it does.
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    parts = Math.min(
      parts,
      processorTime(() => repeat(PARTS, () => work(part))),
    );
    whole = Math.min(
      whole,
      processorTime(() => work(length)),
    );
    if (whole < LINEAR * Math.max(parts, LEAST_MILLISECONDS)) {
      break;
    }
  }
  return whole / Math.max(parts, LEAST_MILLISECONDS);
}

/** What `growth` stays below for work whose time grows as its length does: as far from 1 as from 16, in factors. */
export const LINEAR = Math.sqrt(PARTS);

function repeat(count: number, work: () => void): void {
  for (let i = 0; i < count; i++) {
    work();
  }
}

/** Milliseconds of processor time that work takes. */
function processorTime(work: () => void): number {
  const before = process.cpuUsage();
  work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

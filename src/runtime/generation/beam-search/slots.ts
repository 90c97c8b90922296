/** Decides which KV slot each beam has. */

/** Where the beams of the next step are, and what must be copied first. */
export interface SlotPlan {
  /** The slot of each beam. */
  slots: number[];
  copies: { from: number; to: number }[];
}

/**
 * A beam stays in its parent's slot; only where a parent has several children, all but the first take copies, into slots
 * whose beams have none.
 *
 * @param parentSlots the slot of each new beam's parent
 * @param slotCount all slots, at least as many as beams
 */
export function planSlots(parentSlots: readonly number[], slotCount: number): SlotPlan {
  const kept = new Set(parentSlots);
  const free = Array.from({ length: slotCount }, (_, slot) => slot).filter((slot) => !kept.has(slot));
  const taken = new Set<number>();
  const copies: SlotPlan["copies"] = [];
  const slots = parentSlots.map((from) => {
    if (!taken.has(from)) {
      taken.add(from);
      return from;
    }
    const to = free.shift();
    if (to === undefined) {
      throw new RangeError(`${parentSlots.length} beams do not fit in ${slotCount} slots`);
    }
    copies.push({ from, to });
    return to;
  });
  return { slots, copies };
}

import { expect, test } from "vitest";
import { uniform } from "../../sampling/philox.ts";
import { planSlots } from "./slots.ts";

test("a beam stays in its parent's slot; further children take copies in slots without beams", () => {
  expect(planSlots([2, 0, 1], 3)).toEqual({ slots: [2, 0, 1], copies: [] });
  expect(planSlots([1, 1, 0, 1], 5)).toEqual({
    slots: [1, 2, 0, 3],
    copies: [
      { from: 1, to: 2 },
      { from: 1, to: 3 },
    ],
  });
  expect(() => planSlots([0, 0, 0], 2)).toThrow("3 beams do not fit in 2 slots");
});

test("no slot is written that another beam has or that is copied from later", () => {
  const draw = (step: number, i: number): number => uniform(1, step, [i, 0, 0]) % 6;
  let parents = [0, 0, 0, 0, 0, 0];
  for (let step = 0; step < 200; step++) {
    const { slots, copies } = planSlots(parents, 6);
    expect(new Set(slots).size).toBe(6);
    for (const { from, to } of copies) {
      expect(parents).toContain(from);
      expect(parents).not.toContain(to);
    }
    parents = slots.map((_, i) => slots[draw(step, i)]);
  }
});

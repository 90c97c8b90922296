import { describe, expect, test } from "vitest";
import { Control, createControl } from "./control.ts";

function control(threads: number): Control {
  return new Control(createControl(threads), { threads, spinMilliseconds: 0 });
}

describe("the best of what workers propose", () => {
  test.each<[string, readonly [token: number, logit: number][], { token: number; logit: number }]>([
    [
      "the largest logit",
      [
        [5, 1],
        [40, 2],
        [70, 1.5],
      ],
      { token: 40, logit: 2 },
    ],
    [
      "of equals the lowest id",
      [
        [5, 1],
        [40, 1],
      ],
      { token: 5, logit: 1 },
    ],
    [
      "of those who own logits",
      [
        [-1, -Infinity],
        [40, -3],
      ],
      { token: 40, logit: -3 },
    ],
    [
      "though all be minus infinity",
      [
        [-1, -Infinity],
        [40, -Infinity],
      ],
      { token: 40, logit: -Infinity },
    ],
    [
      "a NaN before any number, the first of them",
      [
        [5, 9],
        [40, NaN],
        [70, NaN],
      ],
      { token: 40, logit: NaN },
    ],
  ])("%s", (_name, candidates, best) => {
    const shared = control(candidates.length);
    for (const [worker, [token, logit]] of candidates.entries()) {
      shared.setCandidate(3, worker, token, logit);
    }
    expect(shared.bestCandidate(3, candidates.length)).toEqual(best);
  });
});

import { describe, expect, test } from "vitest";
import { Hypotheses, type HypothesisRules } from "./hypotheses.ts";

const rules = (changes: Partial<HypothesisRules> = {}): HypothesisRules => ({
  count: 2,
  lengthPenalty: 1,
  earlyStopping: false,
  limit: 10,
  ...changes,
});

test("keeps the best by score over length; of equal ones the first", () => {
  const found = new Hypotheses<string>(rules({ count: 3 }));
  found.add("a", -4, 2);
  found.add("b", -3, 3);
  found.add("c", -8, 4);
  found.add("d", -9, 3);
  found.add("e", -5, 4);
  expect(found.best).toEqual([
    { value: "b", score: -1 },
    { value: "e", score: -1.25 },
    { value: "a", score: -2 },
  ]);
});

describe("enough", () => {
  /** Two have finished, with scores −1 and −2 by a penalty of 1 (−2 and −6 by one of 0). */
  function finished(changes: Partial<HypothesisRules>): Hypotheses<number> {
    const found = new Hypotheses<number>(rules(changes));
    expect(found.isEnough(-1000, 1)).toBe(false);
    found.add(1, -2, 2);
    expect(found.isEnough(-1000, 2)).toBe(false);
    found.add(2, -6, 3);
    return found;
  }

  test("false: when the best running one is no better, as long as it is now", () => {
    expect(finished({}).isEnough(-7.9, 4)).toBe(false);
    expect(finished({}).isEnough(-8, 4)).toBe(true);
  });

  test("true: at once", () => {
    expect(finished({ earlyStopping: true }).isEnough(-0.1, 4)).toBe(true);
  });

  test('"never": when the best running one could become no better', () => {
    // 10 tokens long it would score −1.9 and −2.
    expect(finished({ earlyStopping: "never" }).isEnough(-19, 4)).toBe(false);
    expect(finished({ earlyStopping: "never" }).isEnough(-20, 4)).toBe(true);
    // Without a penalty on short ones its score can only fall.
    expect(finished({ earlyStopping: "never", lengthPenalty: 0 }).isEnough(-6, 4)).toBe(true);
    expect(finished({ earlyStopping: "never", lengthPenalty: 0 }).isEnough(-5.9, 4)).toBe(false);
  });
});

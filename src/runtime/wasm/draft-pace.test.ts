import { expect, test } from "vitest";
import { DraftPace } from "./draft-pace.ts";

function pace(right: number, seconds: Readonly<Record<number, number>>, most = 64): DraftPace {
  const made = new DraftPace(most);
  for (let i = 0; i < 200; i++) {
    made.saw(i % 10 < 10 * right);
  }
  for (const [rows, time] of Object.entries(seconds)) {
    made.took(Number(rows), time);
  }
  return made;
}

test("drafts where they are right, and not where they are wrong or rows are dear", () => {
  const cheap = { 1: 1, 2: 1.05, 3: 1.1, 4: 1.15 };
  expect(pace(1, cheap).drafts(1)).toBe(3);
  expect(pace(0, cheap).drafts(1)).toBe(0);
  expect(pace(1, { 1: 1, 2: 2, 3: 3, 4: 4 }).drafts(1)).toBe(0);
  // Two rows cost little, more cost much.
  expect(pace(1, { 1: 1, 2: 1.1, 3: 3, 4: 4 }).drafts(1)).toBe(1);
});

test("what was never measured is guessed, and measured when it is tried", () => {
  const guessed = pace(1, { 1: 1 });
  expect(guessed.drafts(1)).toBe(3);
  guessed.took(4, 9);
  expect(guessed.drafts(1)).toBe(2);
  guessed.took(3, 9);
  guessed.took(2, 9);
  expect(guessed.drafts(1)).toBe(0);
  expect(new DraftPace(64).drafts(1)).toBe(0);
});

test("no more rows than a step has", () => {
  expect(pace(1, { 8: 1 }, 16).drafts(8)).toBe(1);
  expect(pace(1, { 16: 1 }, 16).drafts(16)).toBe(0);
});

test("steps that become slower change the choice", () => {
  const changing = pace(1, { 1: 1, 2: 1, 3: 1, 4: 1 });
  expect(changing.drafts(1)).toBe(3);
  for (let i = 0; i < 100; i++) {
    changing.took(4, 10);
  }
  expect(changing.drafts(1)).toBe(2);
});

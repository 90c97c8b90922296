import { expect, test } from "vitest";
import { PromptPace } from "./prompt-pace.ts";

test("a piece grows or shrinks to what fits in its time, at most twofold", () => {
  const pace = new PromptPace(256, 0.1);
  expect(pace.rows).toBe(32);
  pace.took(32, 0.01); // 320 rows would fit
  expect(pace.rows).toBe(64);
  pace.took(64, 0.08);
  expect(pace.rows).toBe(80);
  pace.took(80, 0.4);
  expect(pace.rows).toBe(20);
  pace.took(20, 10);
  expect(pace.rows).toBe(8);
  pace.took(1, 0.001); // a last row says little
  expect(pace.rows).toBe(16);
  for (let i = 0; i < 9; i++) {
    pace.took(pace.rows, 0.001);
  }
  expect(pace.rows).toBe(256);
});

test("no more than a pass has", () => {
  const pace = new PromptPace(16);
  expect(pace.rows).toBe(16);
  pace.took(16, 100);
  expect(pace.rows).toBe(8);
});

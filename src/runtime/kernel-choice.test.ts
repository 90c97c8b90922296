import { expect, test } from "vitest";
import { kernelChoice } from "./kernel-choice.ts";

test.each([
  ["wide-256", { kernelBuild: "wide-256", integerDot: undefined }],
  ["relaxed-128", { kernelBuild: "relaxed-128", integerDot: undefined }],
  ["baseline", { kernelBuild: "baseline", integerDot: undefined }],
  ["wide-256+vnni", { kernelBuild: "wide-256", integerDot: "vnni" }],
  ["relaxed-128+dot16", { kernelBuild: "relaxed-128", integerDot: "dot16" }],
])("%s", (text, choice) => {
  expect(kernelChoice(text)).toEqual(choice);
});

test.each([
  "",
  "wide",
  "wide-256+",
  "wide-256+plain",
  "baseline+dot16",
  "+vnni",
  "wide-256+vnni+dot16",
  "Wide-256",
])("%j is none", (text) => {
  expect(kernelChoice(text)).toBeUndefined();
});

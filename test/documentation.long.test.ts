/** What of the documentation takes long to look at: samples with the packages of clients. */
import { expect, test } from "vitest";
import { compile } from "./support/compile.ts";
import { CLIENTS, samplesOf } from "./support/documentation.ts";

test("samples for clients of other APIs compile", async () => {
  const samples = samplesOf("clients");
  expect(Object.keys(samples)).toHaveLength(2);
  expect(await compile(samples, CLIENTS)).toBe("");
}, 120_000);

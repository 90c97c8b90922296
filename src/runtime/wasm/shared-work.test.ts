import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { greedyRequest, loadGolden, openGolden, type GoldenModel } from "../../../test/support/golden.ts";
import type { WasmExecutable } from "./executable.ts";

/** More threads than cores: workers come late to every stage, so that their peers run their tasks. */
const THREADS = 5;

describe("work that workers share", () => {
  let golden: GoldenModel;
  let executable: WasmExecutable;
  beforeAll(async () => {
    golden = await openGolden("smollm3");
    executable = await loadGolden(golden, { threads: THREADS });
  });
  afterAll(() => executable.dispose());

  it("chooses the golden tokens every time, whoever computes what", async () => {
    for (let turn = 0; turn < 8; turn++) {
      for (const { input_ids, greedy } of golden.prompts) {
        const tokens: number[] = [];
        const request = greedyRequest(input_ids, greedy.length, (token) => {
          tokens.push(token);
          return true;
        });
        await executable.decode(request);
        expect(tokens).toEqual(greedy);
      }
    }
  });
});

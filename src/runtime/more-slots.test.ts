import { expect, test } from "vitest";
import { moreOnCpu, moreOnGpu } from "./more-slots.ts";

const GB = 1e9;
const memory = { weightBytes: 4 * GB, weightBytesPerToken: 4 * GB, kvCacheBytes: 1 * GB, workBytes: 1 * GB };

test("a CPU gives a quarter of what is free beside the model, at most 2 GiB", () => {
  expect(moreOnCpu({}, memory, 10 * GB)).toEqual({ slots: 16, kvBytes: 2 * GB });
  expect(moreOnCpu({}, memory, 100 * GB)).toEqual({ slots: 16, kvBytes: 1 * GB + 2 * 2 ** 30 });
  expect(moreOnCpu({}, memory, 5 * GB)).toEqual({ slots: 16, kvBytes: 1 * GB });
});

test("who asks is given that", () => {
  expect(moreOnCpu({ maxConcurrency: 3, kvMemory: 5 }, memory, 100 * GB)).toEqual({ slots: 3, kvBytes: 5 });
  expect(moreOnGpu({ maxConcurrency: 3 }, 9 * GB)).toEqual({ slots: 3, kvBytes: Infinity });
  expect(moreOnGpu({ kvMemory: 7 * GB }, undefined)).toEqual({ slots: 16, kvBytes: 7 * GB });
});

test("a GPU gives 512 MiB, and nothing that nobody has asked for where a budget is given", () => {
  expect(moreOnGpu({}, undefined)).toEqual({ slots: 16, kvBytes: 2 ** 29 });
  expect(moreOnGpu({}, 9 * GB)).toBeUndefined();
});

/**
 * What the CPU device adds to the contract of devices, which test/contract.test.ts has: its workers end, whatever happens,
 * and their failures reach the caller.
 */
import { copyFileSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterEach, describe, expect, test, vi } from "vitest";
import { greedyRequest, loadGolden, openGolden, passOf } from "../../../test/support/golden.ts";
import { goldenPath, temporaryDirectory } from "../../../test/support/model-files.ts";
import { openCheckpoint } from "../checkpoint/checkpoint.ts";
import { AbortError } from "../../base/errors.ts";
import type * as workers from "../platform/workers.ts";
import type { WasmExecutable } from "./executable.ts";

/** Every worker that was started, to look at, tamper with or kill. */
const started: Worker[] = [];
let onStart: () => void = () => undefined;

vi.mock("../platform/workers.ts", async (importOriginal) => {
  const original = await importOriginal<typeof workers>();
  return {
    ...original,
    startWorker: (...parameters: Parameters<typeof original.startWorker>) => {
      const worker = original.startWorker(...parameters);
      started.push(worker);
      onStart();
      return worker;
    },
  };
});

const golden = await openGolden("smollm3-bf16");
const [prompt] = golden.prompts;
const LONG = { contextLength: 20_000 };
const longPrompt = Array.from({ length: 256 }, (_, i) => (i * 7) % 512);

/** Worker threads have the id -1 once they have ended. */
const alive = (): number => started.filter((worker) => worker.threadId !== -1).length;

let loaded: WasmExecutable[] = [];
async function load(...parameters: Parameters<typeof loadGolden>): Promise<WasmExecutable> {
  const executable = await loadGolden(...parameters);
  loaded.push(executable);
  return executable;
}

afterEach(async () => {
  await Promise.all(loaded.map((executable) => executable.dispose()));
  loaded = [];
  onStart = () => undefined;
  expect(alive()).toBe(0);
  started.length = 0;
});

describe("aborting", () => {
  test("while loading: no worker stays", async () => {
    for (const atWorker of [1, 2]) {
      const abort = new AbortController();
      started.length = 0;
      onStart = () => {
        if (started.length === atWorker) {
          abort.abort();
        }
      };
      await expect(loadGolden(golden, { threads: 2 }, { signal: abort.signal })).rejects.toThrow(AbortError);
      expect(alive()).toBe(0);
    }
    onStart = () => undefined;
    const abort = new AbortController();
    const onWeights = (): void => abort.abort();
    await expect(loadGolden(golden, { threads: 2 }, { signal: abort.signal, onWeights })).rejects.toThrow(
      AbortError,
    );
    expect(alive()).toBe(0);
  });
});

describe("progress", () => {
  test("of a long prompt is reported while it is read, rising to its end", async () => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
    try {
      const executable = await load(golden, { threads: 2 }, LONG);
      const reports: number[] = [];
      let isDone = false;
      const pass = {
        ...passOf(longPrompt, 19_000),
        onProgress: (fraction: number) => void reports.push(fraction),
      };
      const run = executable.run(pass).finally(() => (isDone = true));
      while (!isDone) {
        await vi.advanceTimersByTimeAsync(200);
        await new Promise((resolve) => setImmediate(resolve));
      }
      await run;
      expect(new Set(reports).size).toBeGreaterThan(2);
      expect(reports).toEqual(reports.toSorted((a, b) => a - b));
      expect(reports.at(-1)).toBeLessThanOrEqual(1);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe("failures", () => {
  test("a worker that dies rejects what runs and what comes, with the cause", async () => {
    for (const victim of [0, 1]) {
      started.length = 0;
      const executable = await load(golden, { threads: 2 }, LONG);
      const decode = executable.decode(
        greedyRequest(prompt.input_ids, 19_000, () => {
          void started[victim].terminate();
          return true;
        }),
      );
      const message = `A compute worker was lost: worker ${victim} ended with code 1. Load the model again.`;
      await expect(decode).rejects.toMatchObject({ code: "device", message });
      expect(await executable.lost).toMatchObject({ message });
      await expect(executable.run(passOf([1]))).rejects.toMatchObject({ code: "device", message });
      await executable.dispose();
    }
  });

  test("a worker that dies while nothing runs", async () => {
    const executable = await load(golden, { threads: 2 });
    await started[1].terminate();
    await expect(executable.run(passOf([1]))).rejects.toMatchObject({ code: "device" });
    await expect(executable.fork(0, 0, 1)).rejects.toMatchObject({ code: "device" });
  });

  test("a worker that throws frees the others and rejects with what it threw", async () => {
    for (const victim of [0, 1]) {
      started.length = 0;
      const executable = await load(golden, { threads: 3 });
      const worker = started[victim];
      const post = worker.postMessage.bind(worker);
      vi.spyOn(worker, "postMessage").mockImplementation((message) => {
        post({ ...(message as object), entry: "nonsense" });
      });
      const running = executable.run(passOf(prompt.input_ids));
      await expect(running).rejects.toMatchObject({ code: "device", message: 'Unknown entry "nonsense".' });
      await expect(executable.run(passOf([1]))).rejects.toMatchObject({ code: "device" });
      await executable.dispose();
      expect(alive()).toBe(0);
    }
  });

  test("a file that changed after its header was read: the workers' error, and no worker stays", async () => {
    for (const threads of [1, 3]) {
      const directory = temporaryDirectory();
      const file = join(directory, "model.safetensors");
      copyFileSync(join(goldenPath("smollm3-bf16"), "model.safetensors"), file);
      const checkpoint = await openCheckpoint(directory);
      truncateSync(file, 500_000);
      await expect(loadGolden({ ...golden, checkpoint }, { threads })).rejects.toMatchObject({
        code: "invalid-checkpoint",
        message: expect.stringMatching(
          /model\.safetensors" ended before byte [5-7]\d{5}; expected \d+ bytes/,
        ) as string,
      });
      expect(alive()).toBe(0);
    }
  });

  test("NaN in weights is an error of the decode, and the device goes on", async () => {
    const directory = temporaryDirectory();
    const source = await openCheckpoint(goldenPath("smollm3-bf16"));
    const table = source.tensors.get("model.embed_tokens.weight")!;
    const bytes = readFileSync(table.file);
    // The row of token 300: its logit is NaN whatever the prompt is.
    bytes.writeUInt16LE(0x7fc0, table.offset + 300 * 64 * 2 + 10);
    writeFileSync(join(directory, "model.safetensors"), bytes);
    const checkpoint = await openCheckpoint(directory);
    for (const threads of [1, 2]) {
      const executable = await load({ ...golden, checkpoint }, { threads });
      for (const sampling of [{}, { doSample: true, topK: 5 }]) {
        const request = greedyRequest(prompt.input_ids, 5, () => true);
        await expect(
          executable.decode({ ...request, sampling: { ...request.sampling, ...sampling } }),
        ).rejects.toThrow("The logit of token 300 at position 6 must be finite or -Infinity; found NaN");
      }
      const { logits } = await executable.run({ ...passOf([1, 2]), logitRows: Int32Array.of(0) });
      expect(logits.filter(Number.isNaN)).toHaveLength(1);
    }
  });

  test("an error in the progress callback ends the loading with it", async () => {
    const onWeights = (): void => {
      throw new RangeError("no such bar");
    };
    await expect(loadGolden(golden, { threads: 2 }, { onWeights })).rejects.toThrow(
      new RangeError("no such bar"),
    );
    expect(alive()).toBe(0);
  });
});

describe("dispose", () => {
  test("ends running and waiting calls and all workers, at any time, twice", async () => {
    const executable = await load(golden, { threads: 2 }, LONG);
    const calls = [
      executable.run(passOf(longPrompt, 19_000)),
      executable.run(passOf([1])),
      executable.decode(greedyRequest([1], 50, () => true)),
    ].map((call) => call.catch((error: unknown) => error));
    const [first, second] = [executable.dispose(), executable.dispose()];
    await Promise.all([first, second]);
    expect(alive()).toBe(0);
    for (const error of await Promise.all(calls)) {
      expect(error).toMatchObject({ code: "disposed" });
    }
    await expect(executable.run(passOf([1]))).rejects.toMatchObject({
      code: "disposed",
      message: "The model was disposed. Load it again with loadModel().",
    });
  });
});

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startWorker, workerScope, workerUrl } from "./workers.ts";

describe("workerUrl", () => {
  const entry = { source: "./deep/echo-worker.ts", bundled: "echo-worker.js" };

  test("from sources: beside the calling module", () => {
    expect(workerUrl("file:///pkg/src/models/a.ts", entry).href).toBe(
      "file:///pkg/src/models/deep/echo-worker.ts",
    );
  });

  test("bundled: flat in dist", () => {
    expect(workerUrl("file:///pkg/dist/index.js", entry).href).toBe("file:///pkg/dist/echo-worker.js");
    expect(workerUrl("file:///C:/pkg/dist/chunk-AB.js", entry).href).toBe(
      "file:///C:/pkg/dist/echo-worker.js",
    );
  });
});

describe("startWorker", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "model-compose-workers-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("runs TypeScript, hands over data and moves what is transferred", async () => {
    const scope = new URL("./workers.ts", import.meta.url).href;
    const file = join(folder, "double-worker.ts");
    await writeFile(
      file,
      `import { workerScope } from ${JSON.stringify(scope)};
       const { port, data } = workerScope();
       const numbers: Float64Array = data as Float64Array;
       port.postMessage(numbers.map((x: number) => 2 * x));`,
    );
    const numbers = Float64Array.of(1, 2.5);
    const worker = startWorker(pathToFileURL(file), {
      name: "double",
      data: numbers,
      transfer: [numbers.buffer],
    });
    expect(numbers.length).toBe(0); // moved
    const answers = await Promise.all([once(worker, "message"), once(worker, "exit")]);
    expect(answers).toEqual([[Float64Array.of(2, 5)], [0]]);
  });

  test("an exception in the worker arrives as its error event", async () => {
    const file = join(folder, "throw-worker.mjs");
    await writeFile(file, "throw new RangeError('seven');");
    const worker = startWorker(pathToFileURL(file), { name: "throw" });
    const [error] = (await once(worker, "error")) as [Error];
    expect(error.message).toBe("seven");
  });
});

test("workerScope refuses the main thread", () => {
  expect(() => workerScope()).toThrow("outside a worker thread");
});

/** A model's life: loading with its reports, leaving it early, disposing; processes that end by themselves. */
import { describe, expect, test } from "vitest";
import { AbortError, loadModel, type LoadProgress, type Model } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";
import { runScript, sourceUrl, supportUrl, type Ended } from "./support/script.ts";

const TALES = modelPath("tales");
/** Runs a script with the library in a process of its own. */
function run(script: string): Promise<Ended> {
  return runScript(
    `const { loadModel, AbortError } = await import(LIBRARY);
    const { idleShare } = await import(IDLE);
    ${script}`,
    { bindings: { LIBRARY: sourceUrl("index.ts"), IDLE: supportUrl("idle-share.ts"), TALES } },
  );
}

describe("a process ends by itself", () => {
  test("after dispose; a model that waits uses no processor", async () => {
    const { code, stdout, stderr } = await run(`
      const model = await loadModel(TALES, { threads: 2 });
      const { text } = await model.generate("Once upon a time", { doSample: false, maxNewTokens: 5 });
      const idle = await idleShare();
      const again = await model.generate("Once upon a time", { doSample: false, maxNewTokens: 5 });
      await model.dispose();
      console.log(JSON.stringify({ text, again: again.text, idle }));`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { text, again, idle } = JSON.parse(stdout) as { text: string; again: string; idle: number };
    expect(text).toMatch(/^Once upon a time there was/);
    expect(again).toBe(text);
    expect(idle).toBeLessThan(0.25);
  });

  test("after a stream that was left, an abort and an error, once disposed", async () => {
    const { code, stdout, stderr } = await run(`
      {
        await using model = await loadModel(TALES, { threads: 2 });
        for await (const part of model.stream("Once", { seed: 1 })) if (part.text !== "") break;
        await model.generate("Once", { maxNewTokens: 500, signal: AbortSignal.timeout(30) }).catch(() => undefined);
        await model.generate("", {}).catch((error) => console.log(error.code));
      }
      console.log("disposed");`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "invalid-input\ndisposed\n", stderr: "" });
  });

  test("after a load that was aborted at any time", async () => {
    const { code, stdout, stderr } = await run(`
      let aborted = 0;
      for (const delay of [0, 20, 60, 100, 140, 200, 300]) {
        try {
          const model = await loadModel(TALES, { threads: 2, signal: AbortSignal.timeout(delay) });
          await model.dispose();
        } catch (error) {
          if (!(error instanceof AbortError)) throw error;
          aborted++;
        }
      }
      console.log(aborted > 0);`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "true\n", stderr: "" });
  });

  test("in the middle of a generation that dispose ends", async () => {
    const { code, stdout, stderr } = await run(`
      const model = await loadModel(TALES, { threads: 3 });
      const running = model.generate("Once", { maxNewTokens: 2000, ignoreEos: true });
      const waiting = model.generate("Once", {});
      setTimeout(() => model.dispose(), 50);
      await Promise.all([running, waiting].map((call) => call.catch((error) => console.log(error.code))));`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "disposed\ndisposed\n", stderr: "" });
  });
});

describe("loading", () => {
  test("reports its stages in order, the weights in bytes", async () => {
    const reports: LoadProgress[] = [];
    const notices: string[] = [];
    const model = await loadModel(TALES, {
      threads: 2,
      contextLength: 5000,
      onProgress: (progress) => reports.push(progress),
      onNotice: (line) => notices.push(line),
    });
    await model.dispose();
    const stages = reports.map(({ stage }) => stage);
    expect(stages.filter((stage, i) => stage !== stages[i - 1])).toEqual(["config", "weights", "ready"]);
    const weights = reports.filter(({ stage }) => stage === "weights");
    expect(weights.at(-1)?.done).toBe(weights.at(-1)?.total);
    expect(weights.at(-1)?.total).toBeGreaterThan(3_000_000);
    for (const { done, total } of reports) {
      expect(done).toBeLessThanOrEqual(total);
    }
    expect(notices[0]).toContain("lowered from 5000 to the model's maximum, 2048");
    expect(notices.at(-1)).toMatch(
      /^Model: .*tales.* \(bfloat16\)\. Device: wasm \(.*SIMD, 2 threads\)(?: \(there is no GPU\))?; context: 2048 tokens\.$/,
    );
    expect(model.device).toMatchObject({ kind: "wasm", threads: 2 });
    expect([model.contextLength, model.vocabSize]).toEqual([2048, 2048]);
  });

  test("an error of a callback is the load's", async () => {
    for (const name of ["onProgress", "onNotice"]) {
      const callback = (): void => {
        throw new RangeError("no bar");
      };
      await expect(loadModel(TALES, { threads: 1, [name]: callback })).rejects.toThrow(
        new RangeError("no bar"),
      );
    }
    const onProgress = ({ stage }: LoadProgress): void => {
      if (stage === "ready") {
        throw new RangeError("not at the end either");
      }
    };
    await expect(loadModel(TALES, { threads: 1, onProgress })).rejects.toThrow("not at the end either");
  });

  test("a signal that fired before", async () => {
    await expect(loadModel(TALES, { signal: AbortSignal.abort() })).rejects.toThrow(AbortError);
  });

  test("two models live beside each other", async () => {
    const models = await Promise.all([
      loadModel(TALES, { threads: 1 }),
      loadModel(modelPath("smollm3"), { threads: 2 }),
    ]);
    const [text, ids] = await Promise.all([
      models[0].generate("Once upon a time", { doSample: false, maxNewTokens: 10 }),
      models[1].generate([1, 2, 3], { doSample: false, maxNewTokens: 10 }),
    ]);
    expect([text.tokens.length, ids.tokens.length]).toEqual([10, 10]);
    await models[0].dispose();
    expect((await models[1].generate([1, 2, 3], { doSample: false, maxNewTokens: 10 })).tokens).toEqual(
      ids.tokens,
    );
    await models[1].dispose();
  });
});

describe("a disposed model", () => {
  const DISPOSED = { code: "disposed", message: "The model was disposed. Load it again with loadModel()." };

  test("says so, whatever is called, and dispose is idempotent", async () => {
    const model: Model = await loadModel(TALES, { threads: 2 });
    await Promise.all([model.dispose(), model.dispose()]);
    await model.dispose();
    await expect(model.generate("Once")).rejects.toMatchObject(DISPOSED);
    await expect(model.forward([1])).rejects.toMatchObject(DISPOSED);
    await expect(model.stream("Once").next()).rejects.toMatchObject(DISPOSED);
  });
});

/** Tests of models that a server lends to its user's other commands. */
import { afterEach, expect, test } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { PacedModels } from "../../test/support/paced-models.ts";
import { until } from "../../test/support/http.ts";
import { AbortError } from "../base/errors.ts";
import { ModelHost } from "../compose/model-host.ts";
import type { StreamPart } from "../runtime/generation/types.ts";
import { WorkflowService } from "../server/service.ts";
import { askOnServer, modelsOnServer } from "./control-client.ts";
import { startControl, type Control } from "./control-server.ts";
import { differenceOf, heldAs, type LentQuestion } from "./lent-models.ts";
import type { Registration } from "./registration.ts";

const controls: Control[] = [];
afterEach(() => controls.splice(0).forEach((control) => control.unref()));

const YAML = `
components:
  - { id: first, type: model, task: text-generation, model: a/b, quantization: int8, prompt: x }
  - { id: same, type: model, task: text-generation, model: a/b, quantization: int8, prompt: x }
  - { id: idle, type: model, task: text-generation, model: c/d, preload: false, prompt: x }
workflow: { component: first }
`;

async function start(models: PacedModels): Promise<{ registration: Registration; service: WorkflowService }> {
  const service = new WorkflowService(loadText(YAML), new ModelHost(models.load, {}, { threads: 2 }));
  const control = await startControl(service, () => undefined);
  controls.push(control);
  const registration = { token: control.token, controlPort: control.port } as Registration;
  return { registration, service };
}

const question: LentQuestion = { component: "first", prompt: "x", options: { seed: 7 } };

test("models that are loaded are told of, each once, with what they were loaded with", async () => {
  const { registration, service } = await start(new PacedModels());
  expect(await modelsOnServer(registration)).toEqual([]);
  await service.load(new AbortController().signal);
  expect(await modelsOnServer(registration)).toEqual([
    {
      component: "first",
      directory: "/paced",
      heldAs: heldAs({ quantization: "int8", threads: 2 }),
      device: { kind: "wasm", description: "wasm (paced)", threads: 1 },
      contextLength: 4096,
    },
  ]);
  expect(await modelsOnServer({ ...registration, token: "wrong" })).toEqual([]);
});

test("a model writes for another command as for its own", async () => {
  const { registration, service } = await start(new PacedModels());
  await service.load(new AbortController().signal);
  const { signal } = new AbortController();
  const parts: StreamPart[] = [];
  for await (const part of askOnServer<StreamPart>(registration, question, { signal })) {
    parts.push(part);
  }
  expect(parts.map(({ text }) => text).join("")).toBe("w0 w1 w2 w3 ");
  expect(parts.at(-1)?.result).toMatchObject({ newText: "w0 w1 w2 w3 ", seed: 7 });
  const idle = askOnServer(registration, { ...question, component: "idle" }, { signal });
  await expect(idle.next()).rejects.toThrow("has unloaded the model of idle");
});

test("who leaves ends the work, and so does the server's end", async () => {
  const models = new PacedModels();
  models.words = 1e6;
  const { registration, service } = await start(models);
  await service.load(new AbortController().signal);
  const stop = new AbortController();
  const left = askOnServer(registration, question, { signal: stop.signal });
  await left.next();
  expect(service.running).toBe(1);
  stop.abort();
  await expect(left.next().then(() => left.next())).rejects.toThrow(AbortError);
  await until("the text ends", () => models.active === 0 && service.running === 0);

  const ended = askOnServer(registration, question, { signal: new AbortController().signal });
  await ended.next();
  await service.stop(0);
  expect(models.active).toBe(0);
  const readOn = async (): Promise<never> => {
    for (;;) {
      await ended.next();
    }
  };
  await expect(readOn()).rejects.toThrow();
});

test("what is asked for and what is so by default is the same", () => {
  const plain = heldAs({});
  const same = {
    device: "auto",
    precision: "auto",
    quantization: "none",
    activations: "int8",
    kvPrecision: "float32",
    prefill: "exact",
  } as const;
  expect(heldAs(same)).toEqual(plain);
  expect(heldAs({ device: "cpu" })).toEqual(heldAs({ device: "wasm" }));
  expect(heldAs({ quantization: "int4" })).toEqual(heldAs({ quantization: "int4", kvPrecision: "float16" }));
});

test("a model that would be held in another way will not do; one that is faster or slower will", () => {
  const plain = heldAs({});
  for (const [other, words] of [
    [{ device: "wasm" }, "device wasm instead of auto"],
    [{ device: "webgpu" }, "device webgpu instead of auto"],
    [{ device: "webgpu:h200" }, "device webgpu:h200 instead of auto"],
    [{ precision: "float32" }, "precision float32 instead of stored"],
    [{ quantization: "int8" }, "quantization int8 instead of none, kvPrecision float16 instead of float32"],
    [{ quantization: "auto" }, "quantization auto instead of none, kvPrecision auto instead of float32"],
    [{ activations: "float32" }, "activations float32 instead of int8"],
    [{ kvPrecision: "float16" }, "kvPrecision float16 instead of float32"],
    [{ prefill: "f16" }, "prefill f16 instead of exact"],
  ] as const) {
    expect(differenceOf(heldAs(other), plain)).toBe(words);
    expect(differenceOf(plain, heldAs(other))).toBeDefined();
  }
  for (const [speed, words] of [
    [{ threads: 3 }, "threads as it likes instead of 3"],
    [{ kernelBuild: "baseline" }, /^kernels as it likes instead of /],
    [{ gpuMemory: 8e9 }, "gpuMemory as it likes instead of 8000000000"],
  ] as const) {
    expect(differenceOf(heldAs(speed), plain)).toBeUndefined();
    expect(differenceOf(plain, heldAs(speed))).toMatch(words);
  }
});

/** The models that a server lends to its user's other commands: what they are, what is asked of them, what they write. */
import { z } from "zod";
import { ModelComposeError } from "../base/errors.ts";
import { Channel } from "../base/async/channel.ts";
import type { HeldOptions } from "../compose/model-host.ts";
import type { ChatOptions } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";
import { defaultKvPrecision } from "../runtime/held-formats.ts";
import { resolveRuntimeOptions } from "../runtime/load-options.ts";
import { weigh } from "../server/kept-bytes.ts";
import type { WorkflowService } from "../server/service.ts";

/** What a loaded model is. */
export const lentModel = z.object({
  /** Id of a component that has it. */
  component: z.string(),
  /** Its folder: of a repository, that of the commit. */
  directory: z.string(),
  /** What was asked of its load, in `heldAs`'s words. */
  heldAs: z.record(z.string(), z.string().nullable()),
  device: z.object({
    kind: z.enum(["wasm", "webgpu"]),
    description: z.string(),
    threads: z.int().optional(),
    adapter: z.string().optional(),
  }),
  /** Tokens, of prompt and new text, that its context holds. */
  contextLength: z.int(),
});
export type LentModel = z.infer<typeof lentModel>;

/** A text or an answer that is asked of a model. What its options may be, the model says. */
export const lentQuestion = z.object({
  component: z.string(),
  prompt: z.union([z.string(), z.array(z.record(z.string(), z.unknown()))]),
  options: z.record(z.string(), z.unknown()),
});
export interface LentQuestion {
  readonly component: string;
  /** The text that is continued, or the messages that are answered. */
  readonly prompt: string | readonly ChatMessage[];
  readonly options: GenerateOptions | ChatOptions;
}

/** One line of the answer to a question: a part of the text, or how far the prompt is read. */
export const lentLine = z.union([
  z.object({ part: z.record(z.string(), z.unknown()) }),
  z.object({ prefill: z.object({ done: z.int(), total: z.int() }) }),
]);

/** What somebody need not ask for to take a model that was loaded with it: no text depends on it. */
const SPEED = ["threads", "kernels", "gpuMemory"];

/** How a load holds a model: equal values for what was asked for and what is so by default; null is the machine's choice. */
export function heldAs(options: HeldOptions): Record<string, string | null> {
  const { precision, quantization, activations, device, prefill, ...resolved } =
    resolveRuntimeOptions(options);
  const { kvPrecision = quantization === "auto" ? "auto" : defaultKvPrecision(quantization) } = resolved;
  const { threads, kernels, gpuMemory } = resolved;
  const text = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));
  return {
    ...{ precision, quantization, activations, kvPrecision, prefill },
    device: "adapter" in device && device.adapter !== undefined ? `webgpu:${device.adapter}` : device.kind,
    threads: text(threads),
    kernels: text(kernels),
    gpuMemory: text(gpuMemory),
  };
}

/** How a model is held that will not do for somebody who would hold it as `wanted`, in words; undefined: it will do. */
export function differenceOf(found: LentModel["heldAs"], wanted: LentModel["heldAs"]): string | undefined {
  const names = Object.keys(wanted).filter(
    (name) => found[name] !== wanted[name] && !(wanted[name] === null && SPEED.includes(name)),
  );
  const differences = names.map(
    (name) => `${name} ${found[name] ?? "as it likes"} instead of ${wanted[name]}`,
  );
  return differences.length === 0 ? undefined : differences.join(", ");
}

/** The models of a service that are loaded. */
export async function lentModels(service: WorkflowService): Promise<LentModel[]> {
  return (await service.readyModels()).map(({ component, model, asked }) => ({
    component: component.id,
    directory: model.directory,
    heldAs: heldAs(asked),
    device: model.device,
    contextLength: model.contextLength,
  }));
}

/**
 * The lines of the answer to a question, each when it is there. A reader that leaves ends the work.
 *
 * @throws what lending the model and generating throw
 */
export async function* answerLines(
  service: WorkflowService,
  { component: id, prompt, options }: z.infer<typeof lentQuestion>,
  left: AbortSignal,
): AsyncGenerator<z.infer<typeof lentLine>> {
  const ready = await service.readyModels();
  const found = ready.find(({ component }) => component.id === id);
  if (found === undefined) {
    throw new ModelComposeError("not-found", `The server has unloaded the model of ${id}.`, {
      remedy: "Try again: it is loaded here then (--local).",
    });
  }
  const lines = new Channel<z.infer<typeof lentLine>>();
  const work = service.lend(found.component, weigh(prompt), left, async (model, signal) => {
    const onPrefill = (prefill: { done: number; total: number }): void => lines.post({ prefill });
    const given = { ...options, onPrefill, signal };
    const parts =
      typeof prompt === "string"
        ? model.stream(prompt, given)
        : model.streamChat(prompt as unknown as readonly ChatMessage[], given);
    for await (const part of parts) {
      await lines.send({ part: { ...part } });
    }
  });
  work.then(
    () => lines.close(),
    (error: unknown) => lines.close({ error }),
  );
  yield* lines.read();
}

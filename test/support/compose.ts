import type { ComposeDefinition } from "../../src/compose/definition/definition.ts";
import { readCompose } from "../../src/compose/load.ts";
import { ModelHost } from "../../src/compose/model-host.ts";
import { ComposeFileError } from "../../src/compose/source/problems.ts";
import { Engine, type RunOptions } from "../../src/compose/run/engine.ts";
import type { RunEvent, WorkflowResult } from "../../src/compose/run/events.ts";
import { throwIfAborted } from "../../src/base/errors.ts";
import type { ChatOptions, ChatPart } from "../../src/models/chat/chat.ts";
import type { ChatMessage } from "../../src/models/chat/messages.ts";
import type { PromptCounter, SizedLoadOptions } from "../../src/models/context-sizing.ts";
import type { Architecture, GenerateOptions, StreamPart } from "../../src/runtime/generation/types.ts";
import type { LoadOptions } from "../../src/models/load-options.ts";

/** Reads a compose file from its text. */
export function loadText(
  text: string,
  options: { env?: Record<string, string>; lenient?: boolean } = {},
): ComposeDefinition {
  const environment = new Map(Object.entries(options.env ?? {}));
  const file = { name: "model-compose.yml", path: "/project/model-compose.yml", text };
  return readCompose([file], { environment, lenient: options.lenient });
}

/** The error with which a compose file is refused. */
export function loadFailure(text: string, options: Parameters<typeof loadText>[1] = {}): ComposeFileError {
  try {
    loadText(text, options);
  } catch (error) {
    if (error instanceof ComposeFileError) {
      return error;
    }
    throw error;
  }
  throw new Error("the file was accepted");
}

const characters: PromptCounter = {
  ofText: (prompt) => Promise.resolve(prompt.length),
  ofChat: (messages) => {
    const texts = messages.map(({ content }) => (typeof content === "string" ? content : ""));
    return Promise.resolve(texts.join("").length);
  },
};

/** Fake models whose text says what they were asked: ` <call:sequence>`, in two pieces. */
export class FakeModels {
  /** The loads so far; `context` is what was counted, a token a character, where the load is to be sized. */
  readonly loads: { source: string; options: LoadOptions; context: number | "max" | undefined }[] = [];
  readonly calls: { readonly prompt: string; readonly options: GenerateOptions }[] = [];
  readonly chats: { readonly messages: readonly ChatMessage[]; readonly options: ChatOptions }[] = [];
  architecture: Architecture = "causal";
  contextLength = 4096;
  /** The parts of the answer to a conversation. */
  answer: readonly Omit<ChatPart, "tokens">[] = [{ type: "content", text: "Hello." }];
  /** Holds the answer to a conversation back until it resolves. */
  hold: Promise<void> = Promise.resolve();
  disposed = 0;
  /** Number of calls that are being served now; `mostActive` is the most there were. */
  active = 0;
  mostActive = 0;
  /** Milliseconds that a call takes. */
  delay = 0;
  /** How many times a text breaks off behind its first piece. */
  breaks = 0;
  /** The error that is thrown instead of answering a prompt. */
  fail: (prompt: string) => Error | undefined = () => undefined;

  readonly load = async (source: string, { sizing, ...options }: SizedLoadOptions) => {
    const load = { source, options, context: options.contextLength };
    this.loads.push(load);
    options.onProgress?.({ stage: "weights", done: 1, total: 2 });
    load.context = (await sizing?.count(characters)) ?? load.context;
    return {
      directory: "/fake",
      device: { kind: "wasm" as const, description: "wasm (fake)", threads: 1 },
      architecture: this.architecture,
      contextLength: this.contextLength,
      stream: (prompt: string, given: GenerateOptions) => this.#stream(prompt, given),
      streamChat: (messages: readonly ChatMessage[], given: ChatOptions) => this.#chat(messages, given),
      embed: () => Promise.reject(new Error("nobody embeds here")),
      countTokens: (prompt: string | readonly ChatMessage[]) =>
        typeof prompt === "string" ? characters.ofText(prompt) : characters.ofChat(prompt, {}),
      lost: new Promise<never>(() => undefined),
      dispose: () => {
        this.disposed += 1;
        return Promise.resolve();
      },
    };
  };

  async *#stream(prompt: string, options: GenerateOptions): AsyncGenerator<StreamPart> {
    const number = this.calls.push({ prompt, options });
    this.active += 1;
    this.mostActive = Math.max(this.mostActive, this.active);
    try {
      await new Promise((resolve) => setTimeout(resolve, this.delay));
      throwIfAborted(options.signal);
      options.onPrefill?.({ done: 1, total: 2 });
      const error = this.fail(prompt);
      if (error !== undefined) {
        throw error;
      }
      if (this.breaks > 0) {
        this.breaks -= 1;
        yield { text: "half", tokens: [1] };
        throw new Error("it broke off");
      }
      yield* parts(` <${number}:${options.sequence?.join(",")}>`, options);
    } finally {
      this.active -= 1;
    }
  }

  async *#chat(messages: readonly ChatMessage[], options: ChatOptions): AsyncGenerator<ChatPart> {
    this.chats.push({ messages, options });
    await this.hold;
    throwIfAborted(options.signal);
    const textOf = (type: string): string =>
      this.answer.map((part) => (part.type === type ? part.text : "")).join("");
    for (const part of this.answer) {
      yield await Promise.resolve({ ...part, tokens: [1] });
    }
    const content = textOf("content");
    const [, { result }] = parts(content, options);
    if (result === undefined) {
      throw new Error("a text without a result");
    }
    const toolCalls = this.answer.flatMap(({ toolCall }) => toolCall ?? []);
    const chat = { content, reasoning: textOf("reasoning") || undefined, toolCalls };
    const message = { role: "assistant", content };
    yield {
      type: "content",
      text: "",
      tokens: [],
      result: { ...result, ...chat, message, sequences: undefined },
    };
  }
}

function parts(
  newText: string,
  { seed = -1, numReturnSequences = 1 }: GenerateOptions,
): [StreamPart, StreamPart] {
  const timings = {
    timeToFirstTokenSeconds: 1,
    prefillSeconds: 1,
    decodeSeconds: 1,
    prefillTokensPerSecond: 1,
    decodeTokensPerSecond: 1,
  };
  const usage = { promptTokens: 1, completionTokens: 2 };
  const finishReason = "eos" as const;
  const sequences = Array.from({ length: numReturnSequences }, (_, i) => {
    return { text: "", newText: `${newText}#${i}`, tokens: [1, 2], finishReason, score: -i };
  });
  // The text of a cut prompt is what the model saw, not what was rendered.
  const result = { text: "", newText, tokens: [1, 2], finishReason, usage, timings, seed, warnings: [] };
  return [
    { text: newText.slice(0, 3), tokens: [1] },
    {
      text: newText.slice(3),
      tokens: [2],
      result: numReturnSequences > 1 ? { ...result, sequences } : result,
    },
  ];
}

export interface Outcome {
  readonly events: RunEvent[];
  readonly result: WorkflowResult;
  readonly fake: FakeModels;
}

/** Runs a workflow of a compose file with a fake model, to its end. */
export async function runCompose(
  yaml: string,
  options: RunOptions,
  fake = new FakeModels(),
): Promise<Outcome> {
  const host = new ModelHost(fake.load);
  const events: RunEvent[] = [];
  try {
    for await (const event of new Engine(loadText(yaml), host).run(options)) {
      events.push(event);
    }
  } finally {
    await host.dispose();
  }
  const last = events.at(-1);
  if (last?.type !== "result") {
    throw new Error("no result");
  }
  return { events, result: last.result, fake };
}

/** The events of one type. */
export function eventsOf<T extends RunEvent["type"]>(
  events: readonly RunEvent[],
  type: T,
): Extract<RunEvent, { type: T }>[] {
  return events.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type);
}

/** A component without its prompt, as both dialects write it. */
export const component = `component:
  type: model
  task: text-generation
  model: HuggingFaceTB/SmolLM3-3B
`;

/** The shortest compose file that runs. */
export const minimal = `${component}  text: \${input.prompt as text}\n`;

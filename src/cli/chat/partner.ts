/** Who answers in `chat`: a model by its name, or a component of a compose file, with what the file says of it. */
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import { directWorkflow } from "../../compose/definition/direct-workflow.ts";
import type { ModelComponent } from "../../compose/definition/definition.ts";
import type { GenerationParameterName } from "../../compose/definition/parameters.ts";
import { literalValue } from "../../compose/source/source-tree.ts";
import type { TextModel } from "../../compose/model-host.ts";
import type { Engine } from "../../compose/run/engine.ts";
import type { ChatMessage, ToolCall } from "../../models/chat/messages.ts";
import type { ChatResult } from "../../models/chat/chat.ts";
import { generateOptionsOf, type ChatSettings } from "./settings.ts";

/** A piece of an answer, or its end. */
export type PartnerPart =
  | { readonly type: "reasoning" | "content"; readonly text: string }
  | { readonly type: "tool-call"; readonly text: string; readonly toolCall: ToolCall | undefined }
  | { readonly type: "warning"; readonly text: string }
  | { readonly type: "result"; readonly result: ChatResult };

export interface AnswerOptions {
  readonly settings: ChatSettings;
  readonly signal: AbortSignal;
  readonly onPrefill: (progress: { readonly done: number; readonly total: number }) => void;
}

export interface Partner {
  /** Tokens that the context holds. */
  readonly contextLength: number;
  readonly device: string;
  /** @throws what the model throws of the messages; AbortError */
  answer(messages: readonly ChatMessage[], options: AnswerOptions): AsyncIterable<PartnerPart>;
  /** Counts what the model would read. @throws what the chat template throws; AbortError */
  countTokens(
    messages: readonly ChatMessage[],
    options: Pick<AnswerOptions, "settings" | "signal">,
  ): Promise<number>;
}

/** A loaded model. What is not set is as its generation_config says. */
export class ModelPartner implements Partner {
  readonly #model: TextModel;

  constructor(model: TextModel) {
    this.#model = model;
  }

  get contextLength(): number {
    return this.#model.contextLength;
  }

  get device(): string {
    return this.#model.device.description;
  }

  async *answer(
    messages: readonly ChatMessage[],
    { settings, signal, onPrefill }: AnswerOptions,
  ): AsyncGenerator<PartnerPart> {
    const { templateVariables } = settings;
    const options = { ...generateOptionsOf(settings), templateVariables, signal, onPrefill };
    for await (const { type, text, toolCall, result } of this.#model.streamChat(messages, options)) {
      yield type === "tool-call" ? { type, text, toolCall } : { type, text };
      if (result !== undefined) {
        for (const warning of result.warnings) {
          yield { type: "warning", text: warning };
        }
        yield { type: "result", result };
      }
    }
  }

  countTokens(
    messages: readonly ChatMessage[],
    { settings: { templateVariables }, signal }: Pick<AnswerOptions, "settings" | "signal">,
  ): Promise<number> {
    return this.#model.countTokens(messages, { templateVariables, signal });
  }
}

/** A component: tools, template and parameters are those of its action, with what is set over them. */
export class ComponentPartner implements Partner {
  readonly #engine: Engine;
  readonly #component: ModelComponent;
  readonly #model: TextModel;

  constructor(engine: Engine, component: ModelComponent, model: TextModel) {
    this.#engine = engine;
    this.#component = component;
    this.#model = model;
  }

  get contextLength(): number {
    return this.#model.contextLength;
  }

  get device(): string {
    return this.#model.device.description;
  }

  async *answer(
    messages: readonly ChatMessage[],
    { settings, signal, onPrefill }: AnswerOptions,
  ): AsyncGenerator<PartnerPart> {
    const { workflow, input } = this.#question(messages, settings);
    for await (const event of this.#engine.run({ workflow, input, signal })) {
      if (event.type === "prefill") {
        onPrefill(event);
      } else if (event.type === "warning") {
        yield { type: "warning", text: event.message };
      } else if (event.type === "text") {
        const { kind = "content", text, toolCall } = event;
        yield kind === "tool-call" ? { type: kind, text, toolCall } : { type: kind, text };
      } else if (event.type === "generation-ended" && event.record !== undefined) {
        // A component of task chat-completion gives what a conversation gives.
        yield { type: "result", result: event.record.result as ChatResult };
      }
    }
    if (signal.aborted) {
      throw new AbortError(signal.reason);
    }
  }

  countTokens(
    messages: readonly ChatMessage[],
    { settings, signal }: Pick<AnswerOptions, "settings" | "signal">,
  ): Promise<number> {
    const { workflow, input } = this.#question(messages, settings);
    return this.#engine.countTokens(workflow, input, signal);
  }

  #question(messages: readonly ChatMessage[], { parameters, templateVariables }: ChatSettings) {
    const names = Object.keys(parameters) as GenerationParameterName[];
    const variables = Object.keys(templateVariables);
    const workflow = directWorkflow("chat", this.#component, {
      subject: { kind: "chat", field: "messages" },
      parameters: new Map(names.map((name) => [name, name])),
      templateVariables: variables.length === 0 ? undefined : { field: "variables", names: variables },
    });
    const input = {
      messages,
      ...parameters,
      ...(variables.length === 0 ? {} : { variables: templateVariables }),
    };
    return { workflow, input };
  }
}

/** The component of a file that answers conversations. @throws ModelComposeError "usage" where it is not clear which */
export function chatComponent(
  components: readonly ModelComponent[],
  wanted: string | undefined,
): ModelComponent {
  const chats = components.filter(({ actions }) => actions.some(({ kind }) => kind === "chat"));
  const found = wanted === undefined ? chats : chats.filter(({ id }) => id === wanted);
  const [component] = found;
  if (component !== undefined && found.length === 1) {
    return component;
  }
  const ids = chats.map(({ id }) => id).join(", ");
  if (chats.length === 0) {
    throw new ModelComposeError("usage", "No component of the file has the task chat-completion.", {
      remedy: "Add one, or name a model instead of a file: model-compose chat MODEL.",
    });
  }
  throw new ModelComposeError(
    "usage",
    wanted === undefined
      ? `The file has ${chats.length} components that answer conversations.`
      : `The file has no component "${wanted}" that answers conversations.`,
    { remedy: `Name one behind chat: ${ids}.` },
  );
}

/** What a component's file tells the model before everything, where that stands in it as text. */
export function systemOf({ actions }: ModelComponent): string | undefined {
  const action =
    actions.find((one) => one.default && one.kind === "chat") ?? actions.find(({ kind }) => kind === "chat");
  const [first] = action?.kind === "chat" && action.messages.kind === "list" ? action.messages.items : [];
  const entries = first?.kind === "mapping" ? first.entries : undefined;
  const textAt = (key: string): unknown => {
    const node = entries?.get(key)?.value;
    return node === undefined ? undefined : literalValue(node)?.value;
  };
  const content = textAt("content");
  return textAt("role") === "system" && typeof content === "string" ? content : undefined;
}

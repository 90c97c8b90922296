/** Turns conversations into prompts, with the chat templates of one model. */
import { isJsonObject } from "../../base/json.ts";
import { loadChatTemplates, type ChatTemplates } from "./find-template.ts";
import type { ToolChoice } from "./tool-choice.ts";
import { checkMessages, type ChatMessage, type ToolDefinition } from "./messages.ts";
import type { ChatTemplate } from "./template.ts";

/** What a conversation's prompt is made from besides its messages. */
export interface ChatTemplateOptions {
  /**
   * Functions that the model may call. Without any, what looks like a call is content. The arguments of one with `strict: true`
   * hold to its schema; templates do not see that.
   */
  tools?: readonly ToolDefinition[];
  /**
   * Whether an answer calls tools: as the model likes ("auto", default), not at all ("none": as if there were none), at least one
   * ("required"), once the one of a name, or only some of them (`allowed`). Arguments of a call that must be hold to the schema as far as it can be enforced.
   */
  toolChoice?: ToolChoice;
  /** Documents to answer from, for templates that know them. */
  documents?: readonly Readonly<Record<string, unknown>>[];
  /** The name of one of the model's templates, or a Jinja template. Default: the model's own choice. */
  template?: string;
  /** Variables of the model's template, for example `{ enable_thinking: false }`. */
  templateVariables?: Readonly<Record<string, unknown>>;
  /** The date that templates put into the prompt. Default: now. */
  now?: Date;
}

/** The options of a prompt that is rendered without being answered. */
export interface RenderChatOptions extends ChatTemplateOptions {
  /** Whether to end with the beginning of the model's answer. Default true. */
  addGenerationPrompt?: boolean;
}

/** A conversation as a model reads it. */
export interface ChatPrompt {
  readonly text: string;
  readonly template: ChatTemplate;
}

/** Renders conversations. The model's templates are read when they are first needed. */
export class ChatPrompts {
  readonly #directory: string;
  #templates: Promise<ChatTemplates> | undefined;

  /** @param directory the model's folder */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Whether the model has a template of its own; one that cannot be read is none. */
  async hasTemplate(): Promise<boolean> {
    try {
      this.#templates ??= loadChatTemplates(this.#directory);
      (await this.#templates).choose(undefined, false);
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Renders a conversation.
   *
   * @throws ModelComposeError "not-found" without a template, "invalid-input" for messages that it refuses
   */
  async render(messages: readonly ChatMessage[], options: RenderChatOptions = {}): Promise<ChatPrompt> {
    checkMessages(messages);
    this.#templates ??= loadChatTemplates(this.#directory);
    const templates = await this.#templates;
    const template = templates.choose(options.template, hasTools(options));
    const { templateVariables: variables, documents, now, addGenerationPrompt } = options;
    const tools = options.toolChoice === "none" ? undefined : options.tools?.map(withoutStrict);
    const text = template.render(messages, { tools, documents, variables, now, addGenerationPrompt });
    return { text, template };
  }
}

/** Whether a caller gives tools; those of SmolLM3's template also come as variables. */
export function hasTools({
  tools,
  toolChoice,
  templateVariables: variables = {},
}: ChatTemplateOptions): boolean {
  return (
    toolChoice !== "none" &&
    [tools, variables.xml_tools, variables.tools].some((list) => Array.isArray(list) && list.length > 0)
  );
}

/** A tool as templates know it: whether its schema is enforced is nothing that a model is told. */
function withoutStrict(tool: ToolDefinition): ToolDefinition {
  if (!isJsonObject(tool) || !isJsonObject(tool.function) || !("strict" in tool.function)) {
    return tool;
  }
  const kept = Object.entries(tool.function).filter(([key]) => key !== "strict");
  return { ...tool, function: Object.fromEntries(kept) };
}

/** The names of the tools that a caller gives; undefined: there are none. */
export function toolNames({ tools = [] }: ChatTemplateOptions): ReadonlySet<string> | undefined {
  const names = tools.flatMap((tool) => {
    const { name } = isJsonObject(tool.function) ? tool.function : tool;
    return typeof name === "string" ? [name] : [];
  });
  return names.length === 0 ? undefined : new Set(names);
}

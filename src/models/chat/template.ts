/**
 * A chat template turns messages into the prompt that a model was trained on. It renders as transformers'
 * `apply_chat_template` does (`utils/chat_template_utils.py`): Jinja with trim_blocks, lstrip_blocks, loop controls and
 * `{% generation %}` blocks, `tojson` without HTML escapes, `raise_exception` and `strftime_now`.
 */
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { ChatMessage, ToolDefinition } from "./messages.ts";
import { UndefinedError } from "./template/evaluate.ts";
import { renderProgram } from "./template/execute.ts";
import { globalsAt, RaisedError } from "./template/globals.ts";
import { parseTemplate } from "./template/parse.ts";
import { Scope } from "./template/scope.ts";
import type { Program } from "./template/syntax.ts";
import { fromJson } from "./template/values.ts";

/** What a template renders besides messages. */
export interface RenderOptions {
  /** Functions that the model may call; templates see null where there are none. */
  readonly tools?: readonly ToolDefinition[];
  /** Documents to answer from. */
  readonly documents?: readonly Readonly<Record<string, unknown>>[];
  /** Whether to end with the beginning of the model's answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Other variables of the template, such as `enable_thinking`: JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** The time that `strftime_now` tells. Default: that of the call. */
  readonly now?: Date;
}

/** A chat template, compiled. */
export class ChatTemplate {
  readonly source: string;
  /** Where the template is from, for messages: a file, or "the option template". */
  readonly origin: string;
  readonly #program: Program;
  readonly #specialTokens: Readonly<Record<string, unknown>>;

  /**
   * Compiles a template.
   *
   * @param specialTokens bos_token, eos_token and so on, as tokenizer_config.json has them
   * @throws ModelComposeError "invalid-config" for what is not a template
   */
  constructor(source: string, origin: string, specialTokens: Readonly<Record<string, unknown>> = {}) {
    this.source = source;
    this.origin = origin;
    this.#specialTokens = specialTokens;
    try {
      this.#program = parseTemplate(source);
    } catch (error) {
      throw new ModelComposeError(
        "invalid-config",
        `The chat template of ${origin} is not valid: ${sentence(error)}`,
        {
          remedy: "Fetch the file again, or give another template.",
          cause: error,
        },
      );
    }
  }

  /** True when the template shows the calls in `tool_calls` of messages. */
  get showsToolCalls(): boolean {
    return /\btool_calls\b/.test(this.source);
  }

  /**
   * The prompt as text.
   *
   * @throws ModelComposeError "invalid-input" when the template refuses the messages or reads what they do not have
   */
  render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
    const { tools = null, documents = null, variables = {}, now = new Date() } = options;
    const given = {
      ...this.#specialTokens,
      messages,
      tools,
      documents,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      ...variables,
    };
    try {
      const globals = new Scope(undefined, globalsAt(now));
      const variables = Object.entries(given).filter(([, value]) => value !== undefined);
      return renderProgram(
        this.#program,
        new Scope(
          globals,
          variables.map(([name, value]) => [name, fromJson(value)]),
        ),
      );
    } catch (error) {
      throw this.#failure(error);
    }
  }

  #failure(error: unknown): unknown {
    if (error instanceof ModelComposeError || !(error instanceof Error)) {
      return error;
    }
    if (error instanceof RaisedError) {
      return new ModelComposeError(
        "invalid-input",
        `The chat template refuses the messages: ${sentence(error)}`,
        {
          remedy: `Change the messages as it says. The template is that of ${this.origin}.`,
          cause: error,
        },
      );
    }
    if (error instanceof RangeError) {
      return new ModelComposeError(
        "invalid-input",
        `The chat template of ${this.origin} failed: macros call themselves without an end, or the messages are nested too deep.`,
        { remedy: "Give messages that are flatter, or another template.", cause: error },
      );
    }
    const problem = error instanceof UndefinedError ? "needs what is not there" : "failed";
    return new ModelComposeError(
      "invalid-input",
      `The chat template of ${this.origin} ${problem}: ${sentence(error)}`,
      { remedy: "Give messages (and template variables) with the fields that it reads.", cause: error },
    );
  }
}

/** The message of a thrown error, as a sentence. */
function sentence(error: unknown): string {
  const message = errorMessage(error).trim();
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

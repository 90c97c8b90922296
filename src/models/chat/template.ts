/**
 * A chat template: from messages to the prompt that a model was trained on. Renders as transformers'
 * `apply_chat_template` does (`utils/chat_template_utils.py`): Jinja with trim_blocks, lstrip_blocks, loop controls and
 * `{% generation %}` blocks, `tojson` without HTML escapes, `raise_exception` and `strftime_now`.
 */
import { Environment, parse, tokenize, type Program } from "./jinja.ts";
import { errorMessage, ModelComposeError } from "../../base/errors.ts";
import { describeJson } from "../../base/json.ts";
import type { ChatMessage, ToolDefinition } from "./messages.ts";
import { strftime } from "./strftime.ts";
import { TemplateInterpreter, UndefinedError } from "./template-interpreter.ts";
import { numberOf, valueOf } from "./template-values.ts";

export interface RenderOptions {
  /** Functions that the model may call; templates see null where there are none. */
  readonly tools?: readonly ToolDefinition[];
  /** Documents to answer from. */
  readonly documents?: readonly Readonly<Record<string, unknown>>[];
  /** End with the beginning of the model's answer. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Other variables of the template, such as `enable_thinking`: JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
  /** What `strftime_now` tells. Default: the time of the call. */
  readonly now?: Date;
}

/** `raise_exception` of a template. */
class RaisedError extends Error {}

/** As in Jinja's sandbox. */
const LONGEST_RANGE = 100_000;

export class ChatTemplate {
  readonly source: string;
  /** Where it is from, for messages: a file, or "the option template". */
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
      // Jinja reads every kind of line end as "\n".
      const lines = source.replace(/\r\n?/g, "\n");
      this.#program = parse(tokenize(lines, { trim_blocks: true, lstrip_blocks: true }));
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
    const globals = new Environment();
    for (const [name, value] of Object.entries(globalsAt(now))) {
      globals.setVariable(name, valueOf(value));
    }
    const scope = new Environment(globals);
    const given = {
      ...this.#specialTokens,
      messages,
      tools,
      documents,
      add_generation_prompt: options.addGenerationPrompt ?? true,
      ...variables,
    };
    try {
      for (const [name, value] of Object.entries(given)) {
        scope.setVariable(name, valueOf(value));
      }
      return String(new TemplateInterpreter(scope).run(this.#program).value);
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
    const problem = error instanceof UndefinedError ? "needs what is not there" : "failed";
    return new ModelComposeError(
      "invalid-input",
      `The chat template of ${this.origin} ${problem}: ${sentence(error)}`,
      { remedy: "Give messages (and template variables) with the fields that it reads.", cause: error },
    );
  }
}

/** The names that every template may use. */
function globalsAt(now: Date): Readonly<Record<string, unknown>> {
  return {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range: (...bounds: unknown[]) => range(bounds),
    raise_exception: (message: unknown) => {
      throw new RaisedError(String(message));
    },
    strftime_now: (format: unknown) => strftime(now, String(format)),
  };
}

function range(bounds: readonly unknown[]): number[] {
  const [first = 0, second, step = 1] = bounds.map((bound) => numberOf(valueOf(bound)) ?? Number.NaN);
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (Number.isInteger(count) && count <= LONGEST_RANGE) {
    return Array.from({ length: count }, (_, i) => start + i * step);
  }
  throw new Error(`range of ${describeJson(bounds)} is not a list of at most ${LONGEST_RANGE} integers`);
}

/** A message as a sentence. */
function sentence(error: unknown): string {
  const message = errorMessage(error).trim();
  return /[.!?]$/.test(message) ? message : `${message}.`;
}

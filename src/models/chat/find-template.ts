/** The chat templates of a model's folder, in the places where transformers keeps them. */
import { join } from "node:path";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { isFile, listDirectory, readJsonObject, readSmallFile } from "../../runtime/platform/files.ts";
import {
  ADDITIONAL_CHAT_TEMPLATES,
  CHAT_TEMPLATE_FILE,
  PROCESSOR_CHAT_TEMPLATE_FILE,
  SPECIAL_TOKENS_FILE,
  TOKENIZER_CONFIG_FILE,
} from "../model-files.ts";
import { ChatTemplate } from "./template.ts";

const DEFAULT = "default";
/** The name of the template that transformers takes when the caller has tools. */
const TOOL_USE = "tool_use";

interface Source {
  readonly text: string;
  readonly origin: string;
}

/** The templates of one model, each compiled when it is first used. */
export class ChatTemplates {
  readonly #directory: string;
  readonly #sources: ReadonlyMap<string, Source>;
  readonly #specialTokens: JsonObject;
  readonly #compiled = new Map<string, ChatTemplate>();

  constructor(directory: string, sources: ReadonlyMap<string, Source>, specialTokens: JsonObject) {
    this.#directory = directory;
    this.#sources = sources;
    this.#specialTokens = specialTokens;
  }

  get hasAny(): boolean {
    return this.#sources.size > 0;
  }

  /**
   * Chooses a template.
   *
   * @param wanted the name of one of the model's templates, or a template itself. Absent: "tool_use" where there is one
   *   and the caller has tools, else "default"
   * @throws ModelComposeError "not-found", "invalid-config" for what is not a template
   */
  choose(wanted: string | undefined, hasTools: boolean): ChatTemplate {
    if (wanted !== undefined && /\{[{%#]/.test(wanted)) {
      return this.#compile(wanted, { text: wanted, origin: "the option template" });
    }
    const name = wanted ?? (hasTools && this.#sources.has(TOOL_USE) ? TOOL_USE : DEFAULT);
    const source = this.#sources.get(name);
    if (source === undefined) {
      throw this.#notFound(wanted);
    }
    return this.#compile(name, source);
  }

  #compile(key: string, { text, origin }: Source): ChatTemplate {
    const template = this.#compiled.get(key) ?? new ChatTemplate(text, origin, this.#specialTokens);
    // Templates that callers give may be many.
    if (this.#sources.has(key)) {
      this.#compiled.set(key, template);
    }
    return template;
  }

  #notFound(wanted: string | undefined): ModelComposeError {
    const names = [...this.#sources.keys()];
    if (names.length > 0) {
      return new ModelComposeError(
        "not-found",
        `The model in "${this.#directory}" has no chat template named "${wanted ?? DEFAULT}"; it has ${names.join(", ")}.`,
        { remedy: 'Name one of them with the option "template".', parameter: "template" },
      );
    }
    return new ModelComposeError(
      "not-found",
      `The model in "${this.#directory}" has no chat template: neither ${CHAT_TEMPLATE_FILE} nor "chat_template" in ` +
        `${TOKENIZER_CONFIG_FILE} is there.`,
      {
        remedy:
          "It was made to continue texts: use generate(), take a model that was tuned for conversations, or give the " +
          'option "template".',
        parameter: "template",
      },
    );
  }
}

/** Reads the templates and special tokens of a model. A model without any has no templates: `choose` says so. */
export async function loadChatTemplates(directory: string): Promise<ChatTemplates> {
  const config = await readOptional(join(directory, TOKENIZER_CONFIG_FILE));
  const sources =
    (await fromTemplateFiles(directory)) ??
    (await fromProcessorFile(directory)) ??
    fromConfig(directory, config);
  const map = await readOptional(join(directory, SPECIAL_TOKENS_FILE));
  return new ChatTemplates(directory, sources, { ...specialTokensOf(map), ...specialTokensOf(config) });
}

async function readOptional(path: string): Promise<JsonObject> {
  if (!(await isFile(path))) {
    return {};
  }
  return readJsonObject(path, "config", {
    code: "invalid-config",
    remedy: "Fetch the file again, or remove it.",
  });
}

async function readTemplate(path: string): Promise<Source> {
  return { text: new TextDecoder().decode(await readSmallFile(path, "template")), origin: `"${path}"` };
}

async function fromTemplateFiles(directory: string): Promise<Map<string, Source> | undefined> {
  const sources = new Map<string, Source>();
  const file = join(directory, CHAT_TEMPLATE_FILE);
  if (await isFile(file)) {
    sources.set(DEFAULT, await readTemplate(file));
  }
  const additional = join(directory, ADDITIONAL_CHAT_TEMPLATES);
  for (const name of await listDirectory(additional)) {
    if (name.endsWith(".jinja")) {
      sources.set(name.slice(0, -".jinja".length), await readTemplate(join(additional, name)));
    }
  }
  return sources.size === 0 ? undefined : sources;
}

async function fromProcessorFile(directory: string): Promise<Map<string, Source> | undefined> {
  const path = join(directory, PROCESSOR_CHAT_TEMPLATE_FILE);
  if (!(await isFile(path))) {
    return undefined;
  }
  return sourcesOf((await readOptional(path)).chat_template, path);
}

function fromConfig(directory: string, { chat_template: value }: JsonObject): Map<string, Source> {
  return sourcesOf(value, join(directory, TOKENIZER_CONFIG_FILE));
}

/** Reads "chat_template", which is a text, a list of named ones, or names with texts. */
function sourcesOf(value: unknown, path: string): Map<string, Source> {
  const origin = `"${path}"`;
  if (value === undefined || value === null) {
    return new Map();
  }
  if (typeof value === "string") {
    return new Map([[DEFAULT, { text: value, origin }]]);
  }
  const entries: unknown[] = Array.isArray(value)
    ? value
    : isJsonObject(value)
      ? Object.entries(value).map(([name, template]) => ({ name, template }))
      : [value];
  return new Map(
    entries.map((entry) => {
      if (isJsonObject(entry) && typeof entry.name === "string" && typeof entry.template === "string") {
        return [entry.name, { text: entry.template, origin: `${origin} ("${entry.name}")` }];
      }
      throw new ModelComposeError(
        "invalid-config",
        `"chat_template" in ${origin} is ${describeJson(value)}; expected a text or a list of {name, template}.`,
        { remedy: "Fetch the file again, or give a template of your own." },
      );
    }),
  );
}

const ROLES = ["bos", "eos", "unk", "sep", "pad", "cls", "mask"];

/** The texts of bos_token, eos_token, …, which files have as texts or as objects with `content`. Others are not defined. */
function specialTokensOf(config: JsonObject): JsonObject {
  const named = ROLES.map((role) => [`${role}_token`, contentOf(config[`${role}_token`])] as const);
  const additional = config.additional_special_tokens;
  const list = Array.isArray(additional)
    ? additional.map(contentOf).filter((text) => text !== undefined)
    : [];
  const found: (readonly [string, unknown])[] = named.filter(([, text]) => text !== undefined);
  return Object.fromEntries(list.length === 0 ? found : [...found, ["additional_special_tokens", list]]);
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") {
    return token;
  }
  return isJsonObject(token) && typeof token.content === "string" ? token.content : undefined;
}

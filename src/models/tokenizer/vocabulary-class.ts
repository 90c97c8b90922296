/**
 * Tokenizers of folders without a tokenizer.json: what transformers' classes make of vocab.json and merges.txt
 * (`models/<family>/tokenization_<family>.py` of transformers 5; `convert_slow_tokenizer.py` for the tokens around a
 * text), as a plan that a worker can carry out.
 */
import { join } from "node:path";
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import { isFile, readJsonObject } from "../../runtime/platform/files.ts";
import type { ConfigFile } from "../config/schema.ts";
import { FAMILIES } from "../families/table.ts";
import { ADDED_TOKENS_FILE, MERGES_FILE, VOCABULARY_FILE } from "../model-files.ts";
import type { ConfigFiles } from "./config-files.ts";
import type { AddedToken } from "./added-vocabulary.ts";
import type { BpeOptions } from "./bpe.ts";
import { corrupt, isTokenId, MOST_IDS, type Pipeline, type Scheme } from "./definition.ts";
import { extraTokensIn, readSpecialToken, rolesIn, type Role, type SpecialToken } from "./special-tokens.ts";

/** All that is needed to make a definition of vocab.json and merges.txt. It can be sent to a worker. */
export interface VocabularySource {
  kind: "vocabulary";
  vocabularyFile: string;
  mergesFile: string;
  className: string;
  /** What tokenizer.json would say of a text's way, but for the tokens around it. */
  pipeline: Pipeline;
  /** The tokens before and after a text. */
  around: { before: string[]; after: string[] };
  model: BpeOptions;
  scheme: Scheme;
  /** Tokens with an id of their own, which `addedTokensFile` gives. */
  addedTokens: AddedToken[];
  addedTokensFile: string;
  /** Special tokens that may be in the vocabulary. One that is nowhere has no id, and is read as ordinary text. */
  specialTokens: SpecialToken[];
  /** Tokens that must have an id: those that come before and after a text, and the one for unknown words. */
  requiredTokens: string[];
  /** Whether Salesforce's runs of white space are added, if the files add no tokens and the vocabulary is as GPT-2's. */
  codeGenRuns: boolean;
}

interface TokenizerClass {
  /** Special tokens where the files name no others. */
  roles: Roles;
  addPrefixSpace: boolean;
  /** The token that comes before a text. */
  before: Around;
  /** The token that comes after a text. */
  after: Around;
}

type Roles = Partial<Record<Role, SpecialToken>>;

interface Around {
  role: Role;
  /** The key of tokenizer_config.json that decides whether the token is there, and the default. Absent: it always is. */
  flag?: { key: string; byDefault: boolean };
}

function token(content: string): SpecialToken {
  return { content, lstrip: false, rstrip: false };
}

const END_OF_TEXT = token("<|endoftext|>");
const BART_ROLES: Roles = {
  bos: token("<s>"),
  eos: token("</s>"),
  sep: token("</s>"),
  cls: token("<s>"),
  unk: token("<unk>"),
  pad: token("<pad>"),
  mask: token("<mask>"),
};

const GPT2: TokenizerClass = {
  roles: { bos: END_OF_TEXT, eos: END_OF_TEXT, unk: END_OF_TEXT },
  addPrefixSpace: false,
  before: { role: "bos", flag: { key: "add_bos_token", byDefault: false } },
  after: { role: "eos", flag: { key: "add_eos_token", byDefault: false } },
};
const BART: TokenizerClass = {
  roles: BART_ROLES,
  addPrefixSpace: false,
  before: { role: "cls" },
  after: { role: "sep" },
};
const BLENDERBOT: TokenizerClass = {
  roles: { ...BART_ROLES, mask: { content: "<mask>", lstrip: true, rstrip: false } },
  addPrefixSpace: true,
  before: { role: "bos", flag: { key: "add_bos_token", byDefault: false } },
  // The class of transformers 5 forgets this token, against its own documentation and converter; the models expect it.
  after: { role: "eos", flag: { key: "add_eos_token", byDefault: true } },
};
const UNKNOWN_SMALL = token("__unk__");
const BLENDERBOT_SMALL_ROLES: Roles = {
  bos: token("__start__"),
  eos: token("__end__"),
  unk: UNKNOWN_SMALL,
  pad: token("__null__"),
};

/** The tokenizers of byte-level byte-pair encoding (Radford et al. 2019), by the name of transformers' class. */
const BYTE_LEVEL_CLASSES: ReadonlyMap<string, TokenizerClass> = new Map([
  ["GPT2Tokenizer", GPT2],
  ["CodeGenTokenizer", GPT2],
  ["BlenderbotTokenizer", BLENDERBOT],
  ["BartTokenizer", BART],
  ["RobertaTokenizer", BART],
]);
const BLENDERBOT_SMALL = "BlenderbotSmallTokenizer";

const NO_PIPELINE: Pipeline = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null };
const PLAIN_BPE: BpeOptions = {
  unknownToken: undefined,
  fuseUnknown: false,
  byteFallback: false,
  ignoreMerges: false,
  continuingPrefix: "",
  endSuffix: "",
};

/**
 * Reads how a folder's vocab.json and merges.txt are meant.
 *
 * @throws ModelComposeError `unsupported` for a class that is not known here, `invalid-config` for wrong values.
 */
export async function readVocabularySource(
  directory: string,
  config: ConfigFiles,
): Promise<VocabularySource> {
  const className = classNameOf(directory, config);
  const added = await readAddedTokens(directory, config.tokenizer);
  // Where tokenizer_config.json has a table of added tokens, special_tokens_map.json is older and does not count.
  const files =
    added.file === config.tokenizer.path ? [config.tokenizer] : [config.tokenizer, config.specialTokens];
  const tokenizerClass = BYTE_LEVEL_CLASSES.get(className);
  const roles = rolesOf(tokenizerClass?.roles ?? BLENDERBOT_SMALL_ROLES, files);
  const specialTokens = [...roles.values(), ...files.flatMap(extraTokensIn)];
  const specials = new Set(specialTokens.map(({ content }) => content));
  const common = {
    kind: "vocabulary" as const,
    vocabularyFile: join(directory, VOCABULARY_FILE),
    mergesFile: join(directory, MERGES_FILE),
    className,
    addedTokens: added.tokens.map((token) => ({
      ...token,
      special: token.special || specials.has(token.content),
    })),
    addedTokensFile: added.file,
    specialTokens,
    codeGenRuns: className === "CodeGenTokenizer" || config.model.values.model_type === "codegen",
  };
  if (tokenizerClass === undefined) {
    const unknown = (roles.get("unk") ?? UNKNOWN_SMALL).content;
    return {
      ...common,
      pipeline: NO_PIPELINE,
      around: { before: [], after: [] },
      model: { ...PLAIN_BPE, unknownToken: unknown, endSuffix: "</w>" },
      scheme: {
        kind: "blenderbot-small",
        cleanUpSpaces: flag(config.tokenizer, "clean_up_tokenization_spaces") ?? false,
      },
      requiredTokens: [unknown],
    };
  }
  const before = tokensAround(tokenizerClass.before, roles, config.tokenizer);
  const after = tokensAround(tokenizerClass.after, roles, config.tokenizer);
  const addPrefixSpace = flag(config.tokenizer, "add_prefix_space") ?? tokenizerClass.addPrefixSpace;
  return {
    ...common,
    pipeline: {
      ...NO_PIPELINE,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: addPrefixSpace, use_regex: true },
      decoder: { type: "ByteLevel" },
    },
    around: { before, after },
    model: PLAIN_BPE,
    scheme: { kind: "tokenizers" },
    requiredTokens: [...before, ...after],
  };
}

function classNameOf(directory: string, { tokenizer, model }: ConfigFiles): string {
  for (const { path, values } of [tokenizer, model]) {
    const name = values.tokenizer_class;
    if (name === undefined || name === null) {
      continue;
    }
    if (typeof name !== "string") {
      throw corrupt(path, `has ${describeJson(name)} as "tokenizer_class"; expected a name`);
    }
    const known = name.replace(/Fast$/, "");
    if (known === BLENDERBOT_SMALL || BYTE_LEVEL_CLASSES.has(known)) {
      return known;
    }
    throw unsupported(
      `"${path}" names the tokenizer class ${describeJson(name)}, which needs a tokenizer.json here`,
    );
  }
  const modelType = model.values.model_type;
  const name = FAMILIES.find(({ type }) => type === modelType)?.tokenizerClass;
  if (name !== undefined) {
    return name;
  }
  throw unsupported(
    `"${directory}" has ${VOCABULARY_FILE} and ${MERGES_FILE}, but neither tokenizer_config.json nor config.json says ` +
      `of which tokenizer class (model_type is ${describeJson(modelType)})`,
  );
}

function unsupported(found: string): ModelComposeError {
  const known = [...BYTE_LEVEL_CLASSES.keys(), BLENDERBOT_SMALL].join(", ");
  return new ModelComposeError("unsupported", `${found}. Without a tokenizer.json, supported are ${known}.`, {
    remedy: "Add the model's tokenizer.json to the folder.",
  });
}

/** The tokens of all roles. Later files win; `null` in a file takes the class's token away. */
function rolesOf(defaults: Roles, files: readonly ConfigFile[]): Map<Role, SpecialToken> {
  const roles = new Map(Object.entries(defaults) as [Role, SpecialToken][]);
  for (const [role, token] of files.flatMap((file) => [...rolesIn(file)])) {
    if (token === null) {
      roles.delete(role);
    } else {
      roles.set(role, token);
    }
  }
  return roles;
}

/** The token before or after a text, if any. One that no file and no class names cannot be added, whatever flags say. */
function tokensAround(
  { role, flag: choice }: Around,
  roles: ReadonlyMap<Role, SpecialToken>,
  config: ConfigFile,
): string[] {
  const wanted = choice === undefined || (flag(config, choice.key) ?? choice.byDefault);
  const named = roles.get(role);
  return wanted && named !== undefined ? [named.content] : [];
}

function flag({ path, values }: ConfigFile, key: string): boolean | undefined {
  const value = values[key];
  if (value === undefined || value === null) {
    return undefined;
  }
  if (typeof value === "boolean") {
    return value;
  }
  throw corrupt(path, `has ${describeJson(value)} as "${key}"; expected true or false`);
}

/**
 * Reads the added tokens: `added_tokens_decoder` of tokenizer_config.json (id → token), or added_tokens.json (text → id)
 * from before it.
 */
async function readAddedTokens(
  directory: string,
  { path, values }: ConfigFile,
): Promise<{ file: string; tokens: AddedToken[] }> {
  const table = values.added_tokens_decoder;
  if (table !== undefined && table !== null) {
    if (!isJsonObject(table)) {
      throw corrupt(path, `has ${describeJson(table)} as "added_tokens_decoder"; expected an object`);
    }
    const tokens = Object.entries(table).map(([key, value]) => {
      const id = /^\d+$/.test(key) ? Number(key) : undefined;
      if (!isTokenId(id)) {
        throw corrupt(path, `has the key ${describeJson(key)} in "added_tokens_decoder"; expected an id`);
      }
      const token = readSpecialToken(value, path, "added_tokens_decoder");
      return { ...asAdded(token, id), special: isJsonObject(value) && value.special === true };
    });
    return { file: path, tokens };
  }
  const file = join(directory, ADDED_TOKENS_FILE);
  if (!(await isFile(file))) {
    return { file, tokens: [] };
  }
  const ids = await readJsonObject(file, "tokenizer", {
    code: "invalid-config",
    remedy: "Fetch the file again.",
  });
  const tokens = Object.entries(ids).map(([content, id]) => {
    if (!isTokenId(id) || content === "") {
      throw corrupt(
        file,
        `gives the token ${describeJson(content)} the id ${describeJson(id)}; expected an integer from 0 to ${MOST_IDS - 1}`,
      );
    }
    return { ...asAdded({ content, lstrip: false, rstrip: false }, id), special: false };
  });
  return { file, tokens };
}

/** A special token with its id. The classes find added tokens in the text as it is, wherever they stand. */
export function asAdded(token: SpecialToken, id: number): AddedToken {
  return { ...token, id, special: true, normalized: false, singleWord: false };
}

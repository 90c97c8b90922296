/**
 * The `decoder` of tokenizer.json as a plan that can be followed token by token. Every decoder of the supported model
 * families has this form: a change of each token by itself, then bytes to text, then the ends of the text.
 */
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { ReplaceDecoder, StripDecoder, type LibraryDecoder } from "./library.ts";

/** Removes up to `start` (`stop`) characters `content` from the beginning (the end) of the text. */
export interface StripEnds {
  kind: "strip";
  content: string;
  start: number;
  stop: number;
}

/** Replaces every occurrence of `text`, from left to right. */
export interface ReplaceText {
  kind: "replace";
  text: string;
  by: string;
}

export type TextStep = StripEnds | ReplaceText;

/** How tokens become text: each by itself, then bytes to text, then the ends of the text. */
export interface DecoderPlan {
  /** Changes of each token, applied in order; `first` tells whether the token begins the text. */
  mapToken: readonly ((token: string, first: boolean) => string)[];
  /** Which tokens are bytes. "byte-level": all, "byte-fallback": those written <0x0A>, "none": none, all are text. */
  bytes: "byte-level" | "byte-fallback" | "none";
  /** Changes of the whole text, applied in order. */
  textSteps: readonly TextStep[];
  /** Text that stands between tokens. */
  separator: string;
}

/**
 * Makes a plan of a decoder.
 *
 * @param config `decoder` of tokenizer.json, possibly null.
 * @param file The path of tokenizer.json, which errors name.
 * @throws ModelComposeError `unsupported` for other decoders or another order, `invalid-config` for bad parameters.
 */
export function planDecoder(config: unknown, file: string): DecoderPlan {
  // Without a decoder, tokens are words.
  if (config === null || config === undefined) {
    return { mapToken: [], bytes: "none", textSteps: [], separator: " " };
  }
  const steps = flatten(config, file);
  const mapToken: DecoderPlan["mapToken"][number][] = [];
  const textSteps: TextStep[] = [];
  let bytes: DecoderPlan["bytes"] = "none";
  let stage: "tokens" | "bytes" | "text" = "tokens";
  for (const step of steps) {
    const { type } = step;
    if (type === "Fuse" && stage !== "text") {
      stage = "text";
    } else if (type === "Strip" && stage === "text") {
      textSteps.push(readStrip(step, file));
    } else if (stage !== "tokens") {
      throw unsupported(steps, file);
    } else if (type === "Strip") {
      mapToken.push(perToken(new StripDecoder({ ...readStrip(step, file), type })));
    } else if (type === "Replace") {
      mapToken.push(readReplace(step, file));
    } else if (type === "Metaspace") {
      mapToken.push(readMetaspace(step, file));
    } else if (type === "ByteLevel" || type === "ByteFallback") {
      bytes = type === "ByteLevel" ? "byte-level" : "byte-fallback";
      stage = "bytes";
    } else {
      throw unsupported(steps, file);
    }
  }
  return { mapToken, bytes, textSteps, separator: "" };
}

function flatten(config: unknown, file: string): JsonObject[] {
  if (!isJsonObject(config)) {
    throw corrupt(file, config);
  }
  if (config.type !== "Sequence") {
    return [config];
  }
  if (!Array.isArray(config.decoders)) {
    throw corrupt(file, config);
  }
  return config.decoders.flatMap((step) => flatten(step, file));
}

function perToken(decoder: LibraryDecoder): (token: string) => string {
  return (token) => decoder.decode_chain([token]).join("");
}

function readReplace(step: JsonObject, file: string): (token: string) => string {
  const { pattern, content } = step;
  if (!isJsonObject(pattern) || typeof content !== "string") {
    throw corrupt(file, step);
  }
  // Most tokens pass here unchanged; regular expressions are the library's subject, which knows Oniguruma's dialect.
  if (typeof pattern.String === "string") {
    const text = pattern.String;
    return (token) => token.replaceAll(text, () => content);
  }
  if (typeof pattern.Regex !== "string") {
    throw corrupt(file, step);
  }
  return perToken(new ReplaceDecoder({ type: "Replace", pattern: { Regex: pattern.Regex }, content }));
}

/** Replaces SentencePiece's visible space. The token that begins the text loses it, unless encoding added none. */
function readMetaspace(step: JsonObject, file: string): (token: string, first: boolean) => string {
  const { replacement = "\u2581", prepend_scheme: scheme = "always" } = step;
  if (typeof replacement !== "string" || replacement === "") {
    throw corrupt(file, step);
  }
  return (token, first) => token.replaceAll(replacement, first && scheme !== "never" ? "" : " ");
}

function readStrip(step: JsonObject, file: string): StripEnds {
  const { content, start, stop } = step;
  const isCount = (value: unknown): value is number =>
    typeof value === "number" && Number.isInteger(value) && value >= 0;
  if (typeof content !== "string" || content.length !== 1 || !isCount(start) || !isCount(stop)) {
    throw corrupt(file, step);
  }
  return { kind: "strip", content, start, stop };
}

function unsupported(steps: readonly JsonObject[], file: string): ModelComposeError {
  const names = steps.map((step) => String(step.type)).join(", ");
  return new ModelComposeError(
    "unsupported",
    `"${file}" has the decoder ${names}; supported are (Replace, Strip, Metaspace)*, ByteLevel or ByteFallback, Fuse, ` +
      "Strip*, in this order.",
    { remedy: "Use a model of a supported family." },
  );
}

function corrupt(file: string, found: unknown): ModelComposeError {
  return new ModelComposeError(
    "invalid-config",
    `"${file}" has a malformed decoder: ${describeJson(found)}.`,
    {
      remedy: "It is corrupt or was edited: fetch it again.",
    },
  );
}

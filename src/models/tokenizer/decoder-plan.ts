/**
 * The `decoder` of tokenizer.json as a plan that can be followed token by token. Every decoder of the supported model
 * families has this form: a change of each token by itself, then bytes to text, then the ends of the text.
 */
import { runAtOnce } from "../../base/async/slices.ts";
import { clip } from "../../base/clip.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { replaced, replacementGrowth } from "./normalizer.ts";
import { stepsOf, type Part } from "./part.ts";

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

/** How many times as long a token may become. Those of models become a few times as long. */
const MOST_GROWTH = 256;

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
  const steps = stepsOf(config, "decoder", "decoders", file);
  const mapToken: DecoderPlan["mapToken"][number][] = [];
  const textSteps: TextStep[] = [];
  let bytes: DecoderPlan["bytes"] = "none";
  let stage: "tokens" | "bytes" | "text" = "tokens";
  let growth = 1;
  for (const step of steps) {
    const { type } = step;
    if (type === "Fuse" && stage !== "text") {
      stage = "text";
    } else if (type === "Strip" && stage === "text") {
      textSteps.push(readStrip(step));
    } else if (stage !== "tokens") {
      throw unsupported(steps, file);
    } else if (type === "Strip") {
      mapToken.push(stripping(readStrip(step)));
    } else if (type === "Replace") {
      const { map, growth: factor } = readReplace(step);
      mapToken.push(map);
      growth *= factor;
    } else if (type === "Metaspace") {
      mapToken.push(readMetaspace(step));
    } else if (type === "ByteLevel" || type === "ByteFallback") {
      bytes = type === "ByteLevel" ? "byte-level" : "byte-fallback";
      stage = "bytes";
    } else {
      throw unsupported(steps, file);
    }
  }
  if (growth > MOST_GROWTH) {
    throw new ModelComposeError(
      "invalid-config",
      `"${file}" has a decoder that makes tokens more than ${MOST_GROWTH} times as long.`,
      { remedy: "It is corrupt or was edited: fetch it again." },
    );
  }
  return { mapToken, bytes, textSteps, separator: "" };
}

function readReplace(step: Part): { map: (token: string) => string; growth: number } {
  const pattern = step.pattern("pattern");
  const content = step.text("content");
  const { String: text } = step.object("pattern");
  const growth = replacementGrowth(pattern, content);
  if (typeof text === "string" && text !== "") {
    return { map: (token) => token.replaceAll(text, () => content), growth };
  }
  return { map: (token) => runAtOnce(replaced(token, pattern, content)), growth };
}

/** Replaces SentencePiece's visible space. The token that begins the text loses it, unless encoding added none. */
function readMetaspace(step: Part): (token: string, first: boolean) => string {
  const replacement = step.character("replacement", "▁");
  const scheme = step.oneOf("prepend_scheme", ["always", "first", "never"], "always");
  return (token, first) => token.replaceAll(replacement, first && scheme !== "never" ? "" : " ");
}

function readStrip(step: Part): StripEnds {
  const content = step.character("content");
  if (content.length > 1) {
    throw step.unsupported(`strips ${JSON.stringify(content)}, which is not in the basic plane`);
  }
  return { kind: "strip", content, start: step.count("start", 0), stop: step.count("stop", 0) };
}

/** Takes characters off both ends of a token. */
function stripping({ content, start, stop }: StripEnds): (token: string) => string {
  return (token) => {
    let from = 0;
    while (from < Math.min(start, token.length) && token[from] === content) {
      from++;
    }
    let to = token.length;
    while (to > Math.max(from, token.length - stop) && token[to - 1] === content) {
      to--;
    }
    return token.slice(from, to);
  };
}

function unsupported(steps: readonly Part[], file: string): ModelComposeError {
  const names = steps.map((step) => step.type).join(", ");
  return new ModelComposeError(
    "unsupported",
    `"${file}" has the decoder ${clip(names)}; supported are (Replace, Strip, Metaspace)*, ByteLevel or ByteFallback, ` +
      "Fuse, Strip*, in this order.",
    { remedy: "Use a model of a supported family." },
  );
}

/** Tells once in a process that decoding is slow, and what would make it faster. */
import type { StreamPart } from "../runtime/generation/types.ts";
import { availableCores } from "../runtime/platform/system.ts";
import type { LoadTextModel, TextModel } from "../compose/model-host.ts";

/** The speed below which people wait for the text instead of reading along. */
const SLOW_TOKENS_PER_SECOND = 5;
/** Fewest tokens that say something about the speed. */
const LEAST_TOKENS = 8;
/** How long a hint waits for a command to end what it writes; it takes less, or ends the model, which does not wait. */
const DELAY_MILLISECONDS = 1000;

export interface SlowHintOptions {
  /** The time in milliseconds. */
  readonly now?: () => number;
}

/**
 * A loader whose models watch how fast they decode. After the first text that came slowly from the CPU, one hint goes to
 * the load's `onNotice`, behind what the text's command still says: at the latest when the model is disposed of.
 */
export function hintWhenSlow(load: LoadTextModel, options: SlowHintOptions = {}): LoadTextModel {
  const { now = () => performance.now() } = options;
  let isGiven = false;
  return async (source, loadOptions) => {
    const model = await load(source, loadOptions);
    const { onNotice } = loadOptions;
    if (model.device.kind !== "wasm" || onNotice === undefined) {
      return model;
    }
    let giveNow: (() => void) | undefined;
    const onSlow = (rate: number): void => {
      if (isGiven) {
        return;
      }
      isGiven = true;
      const timer = setTimeout(() => giveNow?.(), DELAY_MILLISECONDS).unref();
      giveNow = () => {
        clearTimeout(timer);
        giveNow = undefined;
        onNotice(hint(rate, model));
      };
    };
    return {
      directory: model.directory,
      device: model.device,
      architecture: model.architecture,
      contextLength: model.contextLength,
      precision: model.precision,
      memory: model.memory,
      lost: model.lost,
      stream: (prompt, request) => watched(model.stream(prompt, request), now, onSlow),
      streamChat: (messages, request) => watched(model.streamChat(messages, request), now, onSlow),
      embed: (prompt, request) => model.embed(prompt, request),
      countTokens: (prompt, request) => model.countTokens(prompt, request),
      dispose: async () => {
        giveNow?.();
        await model.dispose();
      },
    };
  };
}

/**
 * Passes a stream on and measures its speed. What counts is the time for which the next token is waited for: a reader
 * that is slow itself does not make the model slow, nor does a prompt that is long.
 */
async function* watched<Part extends Pick<StreamPart, "tokens">>(
  parts: AsyncIterable<Part>,
  now: () => number,
  onSlow: (tokensPerSecond: number) => void,
): AsyncGenerator<Part, void, undefined> {
  let milliseconds = 0;
  let tokens = 0;
  let hasBegun = false;
  let since = now();
  try {
    for await (const part of parts) {
      if (hasBegun) {
        milliseconds += now() - since;
        tokens += part.tokens.length;
      }
      hasBegun = true;
      yield part;
      since = now();
    }
  } finally {
    const rate = (tokens * 1000) / milliseconds;
    if (tokens >= LEAST_TOKENS && rate < SLOW_TOKENS_PER_SECOND) {
      onSlow(rate);
    }
  }
}

/** Nobody looks for a GPU here: with "auto", loading has done so, and who asks for the CPU shall have no driver started. */
function hint(rate: number, { device }: TextModel): string {
  const { threads = availableCores() } = device;
  const remedy =
    threads < availableCores()
      ? `It has ${threads} of ${availableCores()} cores: leave --threads out.`
      : "Use a smaller model, or a machine with a GPU (--device webgpu).";
  return `Hint: decoding runs at ${rate.toFixed(1)} tokens/s, for the CPU reads all weights for every token. ${remedy}`;
}

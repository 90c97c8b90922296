/** Results of benchmarks, as they were printed or written, as pictures. */
import { basename } from "node:path";
import { z } from "zod";
import { ModelComposeError } from "../../src/base/errors.ts";
import { median } from "../harness/statistics.ts";
import type { Bars, Lines, Panel, Picture, Points, Value } from "./picture.ts";

/** Where a result is from. What was written down by hand may lack some of it. */
const machine = {
  cpu_model: z.string(),
  cores: z.number(),
  platform: z.string().optional(),
  node_version: z.string().optional(),
};

/** A measured rate with its spread, as `x`, `x_min` and `x_max`. */
const rates = {
  prefill_tokens_per_second: z.number(),
  prefill_tokens_per_second_min: z.number().optional(),
  prefill_tokens_per_second_max: z.number().optional(),
  decode_tokens_per_second: z.number(),
  decode_tokens_per_second_min: z.number().optional(),
  decode_tokens_per_second_max: z.number().optional(),
} as const;

const tokens = {
  prompt_tokens: z.number(),
  decode_prompt_tokens: z.number().optional(),
  new_tokens: z.number(),
};

const peersResult = z.object({
  model: z.string(),
  ...machine,
  ...tokens,
  threads: z.number(),
  contenders: z.array(
    z.object({
      engine: z.string(),
      build: z.string(),
      weights: z.string(),
      bits: z.number().optional(),
      ...rates,
    }),
  ),
});

const serveResult = z.object({
  model: z.string(),
  ...machine,
  quantization: z.string(),
  prompt: z.number(),
  tokens: z.number(),
  result: z.object({
    device: z.string(),
    prompt: z.number(),
    texts: z.array(z.object({ texts: z.number(), rate: z.number() })),
  }),
});

const qualityResult = z.object({
  model: z.string(),
  device: z.string().optional(),
  text: z.string(),
  tokens: z.number(),
  rows: z.array(
    z.object({
      weights: z.string(),
      activations: z.string(),
      mean_kl: z.number(),
      perplexity_increase: z.number(),
      bits_per_weight: z.number().nullable(),
    }),
  ),
});

const benchResult = z.object({
  model: z.string(),
  ...machine,
  device: z.string(),
  quantization: z.string(),
  kernel_build: z.string().optional(),
  threads: z.number().optional(),
  ...tokens,
  decode_prompt_tokens: z.number(),
  ...rates,
});

type Peers = z.infer<typeof peersResult>;
type Serve = z.infer<typeof serveResult>;
type Quality = z.infer<typeof qualityResult>;
type Bench = z.infer<typeof benchResult>;

/** A result with the name of what it was read from, for errors. */
export interface NamedResult {
  readonly name: string;
  readonly result: unknown;
}

/** The benchmarks whose results can be drawn, each told by what the others have not. */
const KINDS = [
  { name: "bench:peers", schema: peersResult, draw: peersPicture },
  { name: "bench:serve", schema: serveResult, draw: servePicture },
  { name: "bench:quality", schema: qualityResult, draw: qualityPicture },
  { name: "bench", schema: benchResult, draw: benchPicture },
] as const;

/**
 * The picture of results of one benchmark; several are drawn beside each other.
 *
 * @throws ModelComposeError "invalid-input" for what no benchmark has printed, and for results of several
 */
export function pictureOf(results: readonly NamedResult[]): Picture {
  const [first] = results;
  const kind = KINDS.find(({ schema }) => schema.safeParse(first?.result).success);
  for (const { name, result } of results) {
    const own = KINDS.find(({ schema }) => schema.safeParse(result).success);
    if (own === undefined) {
      throw new ModelComposeError(
        "invalid-input",
        `${name} is no result that can be drawn; expected the JSON of ${KINDS.map((one) => one.name).join(", ")}.`,
        { remedy: "Write one with --json." },
      );
    }
    if (own !== kind) {
      throw new ModelComposeError(
        "invalid-input",
        `${name} is a result of ${own.name}, and ${first?.name ?? ""} one of ${kind?.name ?? ""}: they have no picture in common.`,
        { remedy: "Draw them one by one." },
      );
    }
  }
  if (kind === undefined) {
    throw new ModelComposeError("invalid-input", "There is nothing to draw: expected at least one result.");
  }
  // The schema has just been found to hold for all of them.
  const draw = kind.draw as (results: readonly unknown[]) => Picture;
  return draw(results.map(({ result }) => kind.schema.parse(result)));
}

function rateOf(result: Peers["contenders"][number] | Bench, which: "prefill" | "decode"): Value {
  return {
    value: result[`${which}_tokens_per_second`],
    least: result[`${which}_tokens_per_second_min`],
    most: result[`${which}_tokens_per_second_max`],
  };
}

const TOKENS_PER_SECOND = "tokens/s";

function peersPicture(results: readonly Peers[]): Picture {
  const panels = results.flatMap((result): Bars[] => {
    const bars = (which: "prefill" | "decode"): Bars["bars"] =>
      result.contenders.map((contender) => ({
        // Weights of as many bits are compared, whatever engines call them. Results of old have no bits.
        group: groupOf(
          results,
          result,
          contender.bits === undefined ? contender.weights : `${contender.bits} bits`,
        ),
        note: contender.weights,
        name: `${contender.engine} (${contender.build})`,
        ...rateOf(contender, which),
      }));
    return [
      { kind: "bars", title: decodeTitle(result), axis: TOKENS_PER_SECOND, bars: bars("decode") },
      { kind: "bars", title: prefillTitle(result), axis: TOKENS_PER_SECOND, bars: bars("prefill") },
    ];
  });
  return { title: `${names(results)}: engines beside each other`, notes: machines(results), panels };
}

function benchPicture(results: readonly Bench[]): Picture {
  const nameOf = ({ device, kernel_build: build, threads }: Bench): string =>
    [
      device,
      ...(build === undefined ? [] : [build]),
      ...(threads === undefined ? [] : [`${threads} threads`]),
    ].join(", ");
  const groupFor = (result: Bench): string =>
    groupOf(results, result, result.quantization === "none" ? "as stored" : result.quantization);
  const bars = (which: "prefill" | "decode"): Bars["bars"] =>
    results.map((result) => ({ group: groupFor(result), name: nameOf(result), ...rateOf(result, which) }));
  const line = (which: "prefill" | "decode"): Lines["points"] =>
    results.map((result) => ({
      name: [...(isOne(results.map(nameOf)) ? [] : [nameOf(result)]), groupFor(result)].join(", "),
      at: which === "decode" ? result.decode_prompt_tokens : result.prompt_tokens,
      ...rateOf(result, which),
    }));
  // What was measured at several lengths is a line over them; otherwise all lengths are one, and in the title.
  const panel = (which: "prefill" | "decode", title: string): Panel => {
    const points = line(which);
    return isOne(points.map(({ at }) => at))
      ? { kind: "bars", title, axis: TOKENS_PER_SECOND, bars: merged(bars(which)) }
      : {
          kind: "lines",
          title: which === "decode" ? "decode" : "prefill",
          axis: TOKENS_PER_SECOND,
          over: which === "decode" ? "tokens before it" : "tokens of the prompt",
          points,
        };
  };
  const [first] = results;
  return {
    title: names(results),
    notes: machines(results),
    panels: [panel("decode", decodeTitle(first)), panel("prefill", prefillTitle(first))],
  };
}

function servePicture(results: readonly Serve[]): Picture {
  const nameOf = (result: Serve): string =>
    groupOf(results, result, result.quantization === "none" ? "weights as stored" : result.quantization);
  const [first] = results;
  return {
    title: `${names(results)}: many texts at once`,
    notes: [
      ...machines(results),
      `Prompts of ${first.prompt} tokens, ${first.tokens} new ones. A prompt read alone: ${results
        .map((result) => `${result.result.prompt.toFixed(1)} tokens/s (${nameOf(result)})`)
        .join(", ")}.`,
    ],
    panels: [
      {
        kind: "lines",
        title: "all texts together",
        axis: TOKENS_PER_SECOND,
        over: "texts at once",
        points: results.flatMap((result) =>
          result.result.texts.map(({ texts, rate }) => ({ name: nameOf(result), at: texts, value: rate })),
        ),
      },
    ],
  };
}

function qualityPicture(results: readonly Quality[]): Picture {
  const rows = results.flatMap((result) =>
    // The weights as they are stored are what the others are compared with.
    result.rows.flatMap((row) => (row.weights === "none" ? [] : [{ ...row, result }])),
  );
  const nameOf = ({ result, weights, activations }: (typeof rows)[number]): string =>
    groupOf(results, result, `${weights}, ${activations} activations`);
  const known = rows.flatMap((row) =>
    row.bits_per_weight === null ? [] : [{ ...row, bits: row.bits_per_weight }],
  );
  if (known.length === 0) {
    throw new ModelComposeError("invalid-input", "No weights of these results have a known size.", {
      remedy: "Measure int8 or int4 weights.",
    });
  }
  const unknown = rows.filter((row) => row.bits_per_weight === null);
  const over = "bits a weight";
  const points = (value: (row: (typeof known)[number]) => number): Points["points"] =>
    known.map((row) => ({ name: nameOf(row), at: row.bits, value: value(row) }));
  const [first] = results;
  return {
    title: `${names(results)}: what smaller weights cost`,
    notes: [
      `${first.tokens} tokens of ${first.text}${first.device === undefined ? "" : `; ${first.device}`}. Lower is better.`,
      ...(unknown.length === 0
        ? []
        : [`Not shown, since their size is not known: ${unknown.map(nameOf).join("; ")}.`]),
    ],
    panels: [
      {
        kind: "points",
        title: "divergence from the stored weights",
        axis: "mean KL, nats",
        over,
        points: points((row) => row.mean_kl),
      },
      {
        kind: "points",
        title: "perplexity above that of the stored weights",
        axis: "%",
        over,
        points: points((row) => 100 * row.perplexity_increase),
      },
    ],
  };
}

/** Bars of one name in one group are measurements of the same: their median, and the spread of all. */
function merged(bars: Bars["bars"]): Bars["bars"] {
  const alike = Map.groupBy(bars, ({ group, name }) => JSON.stringify([group, name]));
  return [...alike.values()].map((some) => {
    const all = some.flatMap(({ value, least = value, most = value }) => [least, most]);
    return {
      ...some[0],
      value: median(some.map(({ value }) => value)),
      ...(some.length > 1 && { least: Math.min(...all), most: Math.max(...all) }),
    };
  });
}

interface WithModel {
  readonly model: string;
}

function names(results: readonly WithModel[]): string {
  return [...new Set(results.map(({ model }) => basename(model)))].join(", ");
}

/** What groups bars: the weights, and the model where there are several. */
function groupOf(results: readonly WithModel[], { model }: WithModel, weights: string): string {
  return isOne(results.map((result) => result.model)) ? weights : `${basename(model)}, ${weights}`;
}

function isOne(values: readonly unknown[]): boolean {
  return new Set(values).size === 1;
}

function machines(results: readonly (Peers | Serve | Bench)[]): string[] {
  const texts = results.map(({ cpu_model: cpu, cores, platform, node_version: node }) =>
    [cpu, `${cores} cores`, platform, node === undefined ? undefined : `Node ${node}`]
      .filter((part) => part !== undefined)
      .join(", "),
  );
  return [...new Set(texts)];
}

function decodeTitle(result: Peers | Bench): string {
  const { new_tokens: count, decode_prompt_tokens: before } = result;
  return before === undefined ? `decode: ${count} tokens` : `decode: ${count} tokens after ${before}`;
}

function prefillTitle(result: Peers | Bench): string {
  return `prefill: a prompt of ${result.prompt_tokens} tokens`;
}

/** What a run finds out, as a table for README and as JSON for plots. */
import { machineJson, machineText, type Machine } from "../../harness/machine.ts";
import { scale, summarize, type Summary } from "../../harness/statistics.ts";
import type { Contender, Measurement, Workload } from "./contender.ts";

/** A contender's rounds. */
export interface Rounds {
  readonly contender: Omit<Contender, "measure">;
  /** One for each round, in order. */
  readonly measurements: readonly Measurement[];
  /** Processes that wanted a core in the minute before each round (the system's load average). */
  readonly loadBefore: readonly number[];
}

export interface PeersResult {
  model: string;
  machine: Machine;
  workload: Workload;
  rounds: readonly Rounds[];
  /** How peers were built, by the name of the build. */
  builds: Readonly<Record<string, Readonly<Record<string, string>>>>;
  /** Versions of packages, by name. */
  packages: Readonly<Record<string, string>>;
}

/** Bytes a second that our engine's threads read from memory, over all rounds; undefined where none took part. */
function readBandwidth({ rounds }: PeersResult): Summary | undefined {
  const all = rounds.flatMap(({ measurements }) =>
    measurements.flatMap(({ readBandwidth: rate }) => (rate === undefined ? [] : [rate])),
  );
  return all.length === 0 ? undefined : summarize(all);
}

interface Row {
  build: string;
  prefill: Summary;
  decode: Summary;
  /** Bytes of weights that decoding a token reads. */
  bytesPerToken: number;
  /** Bytes of weights a second while decoding. */
  bytesPerSecond: Summary;
}

function rowOf({ contender, measurements }: Rounds): Row {
  const bytesPerToken = measurements.at(-1)?.weightBytesPerToken ?? 0;
  const decode = summarize(measurements.map(({ decodeTokensPerSecond }) => decodeTokensPerSecond));
  return {
    build: measurements.at(-1)?.build ?? contender.build,
    prefill: summarize(measurements.map(({ prefillTokensPerSecond }) => prefillTokensPerSecond)),
    decode,
    bytesPerToken,
    bytesPerSecond: scale(decode, bytesPerToken),
  };
}

/** The result as Markdown: what it was measured on, and a table. */
export function toMarkdown(result: PeersResult): string {
  const { model, machine, workload, rounds, packages } = result;
  const { threads, promptTokens, decodePromptTokens, newTokens } = workload;
  const bandwidth = readBandwidth(result);
  const count = rounds[0]?.measurements.length ?? 0;
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`);
  const head = [
    `${model}: ${machineText(machine)}, ${threads} threads; rounds in turn: ${count}, each measurement in a fresh process: median (min–max).`,
    ...(bandwidth === undefined
      ? []
      : [
          `Read bandwidth of the same threads, measured by our engine: ${spread(scale(bandwidth, 1e-9))} GB/s.`,
        ]),
    ...(versions.length === 0 ? [] : [`Peers: ${versions.join(", ")}.`]),
  ];
  const titles = [
    "engine",
    "build",
    "weights",
    `prefill ${promptTokens}, tokens/s`,
    `decode ${newTokens} after ${decodePromptTokens}, tokens/s`,
    "weights read, GB/s",
    "of the read bandwidth",
  ];
  const rows = rounds.map((entry) => {
    const { engine, weights } = entry.contender;
    const { build, prefill, decode, bytesPerSecond } = rowOf(entry);
    const share = bandwidth === undefined ? "" : (bytesPerSecond.median / bandwidth.median).toFixed(2);
    const read = (bytesPerSecond.median / 1e9).toFixed(1);
    return [engine, build, weights, spread(prefill), spread(decode), read, share];
  });
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [...head, "", line(titles), line(titles.map(() => "---")), ...rows.map(line), ""].join("\n");
}

function spread({ median, min, max }: Summary): string {
  return `${significant(median)} (${significant(min)}–${significant(max)})`;
}

function significant(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** The result as JSON: medians with their spread, and every round by itself. Units are in the names. */
export function toJson(result: PeersResult): object {
  const { model, machine, workload, rounds, builds, packages } = result;
  const bandwidth = readBandwidth(result);
  return {
    model,
    ...machineJson(machine),
    threads: workload.threads,
    prompt_tokens: workload.promptTokens,
    decode_prompt_tokens: workload.decodePromptTokens,
    new_tokens: workload.newTokens,
    ...(bandwidth && withSpread("read_bandwidth_bytes_per_second", bandwidth)),
    builds,
    packages,
    contenders: rounds.map((entry) => {
      const { contender, measurements, loadBefore } = entry;
      const { build, prefill, decode, bytesPerToken } = rowOf(entry);
      const systemInfo = measurements.at(-1)?.systemInfo;
      return {
        engine: contender.engine,
        build,
        weights: contender.weights,
        bits: contender.bits,
        ...(systemInfo !== undefined && { system_info: systemInfo }),
        weight_bytes_per_token: bytesPerToken,
        ...withSpread("prefill_tokens_per_second", prefill),
        ...withSpread("decode_tokens_per_second", decode),
        rounds: measurements.map((measurement, round) => ({
          prefill_tokens_per_second: measurement.prefillTokensPerSecond,
          decode_tokens_per_second: measurement.decodeTokensPerSecond,
          ...(measurement.readBandwidth !== undefined && {
            read_bandwidth_bytes_per_second: measurement.readBandwidth,
          }),
          load_average: loadBefore[round],
        })),
      };
    }),
  };
}

function withSpread(name: string, { median, min, max }: Summary): Record<string, number> {
  return { [name]: median, [`${name}_min`]: min, [`${name}_max`]: max };
}

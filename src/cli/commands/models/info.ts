import { resolveModelDirectory } from "../../../models/hub/resolve.ts";
import { readModelInfo, type ModelInfo } from "../../../models/model-info.ts";
import { precisionAtHand } from "../../../models/precision-at-hand.ts";
import { STORED_FORMATS, type StoredPrecision } from "../../../runtime/checkpoint/stored-precision.ts";
import { formatBytes } from "../../../base/bytes.ts";
import { defaultKvPrecision, QUANTIZATIONS, type Quantization } from "../../../runtime/held-formats.ts";
import { DEFAULT_CONTEXT } from "../../../runtime/load-options.ts";
import { availableCores, availableMemory } from "../../../runtime/platform/system.ts";
import { alignColumns } from "../../../base/text-table.ts";
import { memoryBars } from "../../memory-bars.ts";
import type { CommandContext } from "../run.ts";
import type { ModelsFlags } from "./flags.ts";

const BYTES: Readonly<Record<StoredPrecision, number>> = { float32: 4, float16: 2, bfloat16: 2 };
const PRECISIONS = ["float32", "float16", "bfloat16"] as const;
const QUANTIZED = QUANTIZATIONS.filter((name) => name !== "none");

/** `model-compose models info`: shows what a model takes, from its configuration alone, and whether this machine has it. */
export async function showModelInfo(
  model: string,
  flags: ModelsFlags,
  context: CommandContext,
): Promise<void> {
  const { terminal, signal } = context;
  const directory = await resolveModelDirectory(model, {
    cacheDirectory: flags.cacheDir,
    revision: flags.revision,
    requires: "config",
    signal,
    onNotice: (line) => terminal.note(line),
  });
  const info = await readModelInfo(directory);
  const stored = await precisionAtHand(directory);
  const available = availableMemory();
  const tokens = Math.min(DEFAULT_CONTEXT, info.maxPositions);
  const rows = [
    ...PRECISIONS.map((precision) => ({
      precision,
      quantization: "none" as const,
      weights: info.parameters * BYTES[precision],
    })),
    ...QUANTIZED.map((quantization) => ({
      precision: quantization,
      quantization,
      weights: info.quantizedBytes(quantization, STORED_FORMATS[stored ?? "bfloat16"]),
    })),
  ].map(({ precision, quantization, weights }) => {
    const cache = kvBytes(info, tokens, quantization);
    const needed = weights + cache;
    const kvPrecision = defaultKvPrecision(quantization);
    const work = info.cpuWorkBytes({ threads: availableCores(), contextLength: tokens, kvPrecision }, needed);
    return { precision, weights, cache, work, needed, fits: needed <= available };
  });
  if (flags.json === true) {
    const report = {
      model,
      directory,
      family: info.family,
      architecture: info.architecture,
      parameters: info.parameters,
      vocab_size: info.vocabSize,
      max_positions: info.maxPositions,
      stored_precision: stored,
      weight_bytes: Object.fromEntries(rows.map(({ precision, weights }) => [precision, weights])),
      kv_bytes_per_1000_tokens: 1000 * info.kvBytesPerToken,
      source_kv_bytes_per_1000_tokens: 1000 * info.sourceKvBytesPerToken,
      context_length: tokens,
      needed_bytes: Object.fromEntries(rows.map(({ precision, needed }) => [precision, needed])),
      work_bytes: Object.fromEntries(rows.map(({ precision, work }) => [precision, work])),
      available_bytes: available,
      fits: Object.fromEntries(rows.map(({ precision, fits }) => [precision, fits])),
    };
    await terminal.write(`${JSON.stringify(report, null, 2)}\n`);
    return;
  }
  const source =
    info.sourceKvBytesPerToken === 0
      ? ""
      : `, and ${formatBytes(1000 * info.sourceKvBytesPerToken)} per 1,000 tokens of the prompt`;
  await terminal.write(
    [
      `Model       ${model}`,
      `Family      ${info.family} (${info.architecture === "causal" ? "decoder" : "encoder–decoder"})`,
      `Parameters  ${info.parameters.toLocaleString("en")}`,
      `Context     ${info.maxPositions.toLocaleString("en")} tokens`,
      `KV cache    ${formatBytes(1000 * info.kvBytesPerToken)} per 1,000 tokens${source}; half of it with int8 and int4`,
      `Memory      ${formatBytes(available)} available here`,
      "",
      ...alignColumns([
        ["PRECISION", "WEIGHTS", `WITH ${tokens.toLocaleString("en")} TOKENS`, "FITS HERE"],
        ...rows.map(({ precision, weights, needed, fits }) => [
          precision === stored ? `${precision} (stored)` : precision,
          formatBytes(weights),
          formatBytes(needed),
          fits ? "yes" : `no, ${formatBytes(needed - available)} too little`,
        ]),
      ]),
      "",
      ...memoryBars(
        rows.map(({ precision, weights, cache, work }) => ({
          name: precision,
          bytes: [weights, cache, work],
        })),
      ),
      "",
    ].join("\n"),
  );
  terminal.note(
    "Other precisions are asked for with --precision, int8 and int4 with --quantization (precision:, quantization: in a compose " +
      "file). GPUs take int8, int4 or what is stored, and do not tell how much memory they have.",
  );
}

/** Bytes of the KV cache, in the precision that it has where nobody asks for one. */
function kvBytes(info: ModelInfo, tokens: number, quantization: Quantization): number {
  const bytes = tokens * (info.kvBytesPerToken + info.sourceKvBytesPerToken);
  return defaultKvPrecision(quantization) === "float16" ? bytes / 2 : bytes;
}

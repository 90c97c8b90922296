/**
 * Writes a random-weight checkpoint for benchmarks and tests, of a shape of SmolLM3 or of any model's config.json:
 *
 *     node bench/make-checkpoint.ts SHAPE OUT_DIR [--seed N] [--dtype bf16|f16|f32]
 */
import { stderr } from "node:process";
import { ModelComposeError } from "../src/base/errors.ts";
import { nearestName } from "../src/base/nearest-name.ts";
import { checkpointOfConfig } from "./checkpoint/contents.ts";
import { WEIGHT_DTYPES, type WeightDtype } from "./checkpoint/random-weights.ts";
import { CHECKPOINT_SHAPES, checkpointOfShape } from "./checkpoint/shapes.ts";
import { writeCheckpoint } from "./checkpoint/write-checkpoint.ts";
import { parseFlags, seedFlag, usageError } from "./harness/usage.ts";

const USAGE = `Usage: make-checkpoint SHAPE OUT_DIR [--seed N] [--dtype ${Object.keys(WEIGHT_DTYPES).join("|")}]
  SHAPE     ${Object.keys(CHECKPOINT_SHAPES).join(", ")},
            or a folder with a config.json: ./folder
  OUT_DIR   a new or empty folder
  --seed    integer in 0 .. 2^53 - 1 (default 0): same seed, same bytes
  --dtype   how weights are stored (default bf16)
`;

interface Arguments {
  /** A key of CHECKPOINT_SHAPES, or a folder. */
  shape: string;
  directory: string;
  seed: number;
  dtype: WeightDtype;
}

function readArguments(args: string[]): Arguments | "help" {
  const { values, positionals } = parse(args);
  if (values.help) {
    return "help";
  }
  const [shapeName, directory, ...rest] = positionals;
  if (shapeName === undefined || directory === undefined || rest.length > 0) {
    throw usageError(`Expected SHAPE and OUT_DIR, found ${positionals.length} arguments.`);
  }
  return {
    shape: shapeName,
    directory,
    seed: seedFlag("--seed", values.seed),
    dtype: lookUp("--dtype", values.dtype, {
      bf16: "bf16",
      f16: "f16",
      f32: "f32",
    } satisfies Record<WeightDtype, WeightDtype>),
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    allowPositionals: true,
    options: {
      seed: { type: "string", default: "0" },
      dtype: { type: "string", default: "bf16" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
}

function lookUp<Value>(what: string, name: string, values: Readonly<Record<string, Value>>): Value {
  const value = Object.hasOwn(values, name) ? values[name] : undefined;
  if (value !== undefined) {
    return value;
  }
  const nearest = nearestName(name, Object.keys(values));
  const hint = nearest === undefined ? "" : ` Did you mean "${nearest}"?`;
  throw usageError(`${what} must be one of ${Object.keys(values).join(", ")}; found "${name}".${hint}`);
}

/** Draws a progress line on a terminal, at most ten times a second; undefined where stderr is not a terminal. */
function progressLine(): ((written: number, total: number) => void) | undefined {
  if (!stderr.isTTY) {
    return undefined;
  }
  let lastDrawn = 0;
  return (written, total) => {
    const now = Date.now();
    if (written < total && now - lastDrawn < 100) {
      return;
    }
    lastDrawn = now;
    const percent = Math.floor((100 * written) / total);
    stderr.write(
      `\r${percent} % of ${(total / 1e9).toFixed(2)} GB written${written === total ? "\n" : "\x1b[K"}`,
    );
  };
}

async function main(): Promise<void> {
  try {
    const args = readArguments(process.argv.slice(2));
    if (args === "help") {
      process.stdout.write(USAGE);
      return;
    }
    const { directory, shape, dtype, seed } = args;
    const contents = /[\\/]/.test(shape)
      ? await checkpointOfConfig(shape)
      : checkpointOfShape(lookUp("SHAPE", shape, CHECKPOINT_SHAPES));
    await writeCheckpoint(directory, contents, { dtype, seed, onProgress: progressLine() });
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    stderr.write(`${error.message}\n`);
    process.exitCode = error.code === "usage" ? 2 : 1;
  }
}

await main();

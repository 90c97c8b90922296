/**
 * Writes a model's folder with other weights, as f32, for comparisons of quality:
 *
 *     node dist/bench-weights.js MODEL OUT_DIR --noise SEED | --ggml q4_0|q4_1
 *
 * --noise takes weights off a grid of 16 levels that they were quantised to once: each moves by up to half a step, so that a
 * quantiser meets numbers as a training leaves them. --ggml makes them what llama.cpp's formats of that name would.
 */
import { runCommand } from "../harness/command.ts";
import { addGridNoise } from "./grid-noise.ts";
import { GGML_TYPES, roundTrip, type GgmlType } from "./ggml-types.ts";
import { rewriteWeights, type Rewrite } from "./rewrite-weights.ts";
import { parseFlags, seedFlag, usageError } from "../harness/usage.ts";

const USAGE = `Usage: bench-weights MODEL OUT_DIR (--noise SEED | --ggml ${GGML_TYPES.join("|")})
  MODEL         folder of a model
  OUT_DIR       a folder that is not there yet
  --noise SEED  moves weights that lie on a grid of 16 levels a group of 32 by up to half a step (integer: same seed, same bytes)
  --ggml TYPE   rounds matrices as llama.cpp does; the table of tokens and the output layer as q8_0
`;

async function run(args: string[]): Promise<string> {
  const { values, positionals } = parse(args);
  if (values.help === true) {
    return USAGE;
  }
  const [source, directory, ...rest] = positionals;
  if (source === undefined || directory === undefined || rest.length > 0) {
    throw usageError(`Expected MODEL and OUT_DIR, found ${positionals.length} arguments.`);
  }
  const written = await rewriteWeights(source, directory, rewriteOf(values));
  return `${directory}: ${written} tensors\n`;
}

function rewriteOf({ noise, ggml }: { noise?: string; ggml?: string }): Rewrite {
  if ((noise === undefined) === (ggml === undefined)) {
    throw usageError("Expected one of --noise and --ggml.");
  }
  if (noise !== undefined) {
    const seed = seedFlag("--noise", noise);
    return (values, { name, columns }) => {
      addGridNoise(values, columns, seed, name);
    };
  }
  const type = GGML_TYPES.find((name) => name === ggml);
  if (type === undefined) {
    throw usageError(`--ggml must be one of ${GGML_TYPES.join(", ")}; found "${ggml}".`);
  }
  const others: GgmlType = "q8_0";
  return (values, { columns, isTable }) => {
    roundTrip(values, columns, isTable ? others : type);
  };
}

function parse(args: string[]) {
  return parseFlags({
    args,
    allowPositionals: true,
    options: {
      noise: { type: "string" },
      ggml: { type: "string" },
      help: { type: "boolean", short: "h" },
    },
  });
}

await runCommand(run);

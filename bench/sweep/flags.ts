/** The command line of the sweep over kernels. */
import { countFlag, parseFlags, usageError } from "../harness/usage.ts";
import type { MatrixShape } from "./shapes.ts";

const FAMILIES = ["gemv", "gemm", "decode-attention", "block-attention"] as const;
export type Family = (typeof FAMILIES)[number];
const MATRICES: readonly MatrixShape["name"][] = ["qkv", "o", "gate", "down"];

export const USAGE = `Usage: bench:sweep [flags]
Tries the variants of the GPU's kernels at the shapes of SmolLM3-3B: whether they are right, and how long they take.
  --adapter NAME    (default: the best hardware GPU)
  --families LIST   ${FAMILIES.join(",")} (default: all)
  --matrices LIST   ${MATRICES.join(",")} (default: all): of the products of many rows
  --rows LIST       rows of these (default 64,512,2048)
  --narrow          matrices a sixteenth as wide, every variant checked, none timed: for adapters without a GPU
  --all             print every variant, not only the fastest
  --json FILE       write a line of JSON for the adapter and one for every variant to a file
`;

/** The options of the command line, checked. */
export interface SweepFlags {
  adapter: string | undefined;
  families: readonly Family[];
  matrices: readonly MatrixShape["name"][];
  rows: readonly number[];
  narrow: boolean;
  all: boolean;
  json: string | undefined;
}

/**
 * Reads the command line.
 *
 * @returns undefined for --help
 * @throws ModelComposeError "usage" for a wrong command line
 */
export function readSweepFlags(args: string[]): SweepFlags | undefined {
  const { values } = parseFlags({
    args,
    options: {
      adapter: { type: "string" },
      families: { type: "string", default: FAMILIES.join() },
      matrices: { type: "string", default: MATRICES.join() },
      rows: { type: "string", default: "64,512,2048" },
      narrow: { type: "boolean", default: false },
      all: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    return undefined;
  }
  return {
    adapter: values.adapter,
    families: namesOf("--families", values.families, FAMILIES),
    matrices: namesOf("--matrices", values.matrices, MATRICES),
    rows: values.rows.split(",").map((text) => countFlag("--rows", text, { least: 2, most: 4096 })),
    narrow: values.narrow,
    all: values.all,
    json: values.json,
  };
}

function namesOf<Name extends string>(flag: string, text: string, known: readonly Name[]): Name[] {
  return text.split(",").map((name) => {
    const found = known.find((one) => one === name);
    if (found === undefined) {
      throw usageError(`${flag} takes ${known.join(", ")}; found "${name}".`);
    }
    return found;
  });
}

/**
 * Golden models as folders that loaders read: test/fixtures/golden has a family's configuration, results and the rules of
 * its weights; the weights are written when a test first asks for them, and kept in build/ under a hash of all that they
 * are made of.
 */
import { createHash } from "node:crypto";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  goldenTensors,
  storedBytes,
  type GoldenTensor,
  type StoredDtype,
  type TensorManifest,
} from "./golden-weights.ts";
import { mxfp4Tensors, type StoredTensor } from "./mxfp4-tensors.ts";
import { safetensorsBytes } from "./safetensors-bytes.ts";

const FIXTURES = fileURLToPath(new URL("../fixtures/golden", import.meta.url));
const WRITTEN = fileURLToPath(new URL("../../build/golden", import.meta.url));

/** A family's model in another form. */
interface Variant {
  /** Name of the folder in test/fixtures/golden. */
  readonly of: string;
  /** Format of the stored weights, where not as the family's tensors.json says. */
  readonly dtype?: StoredDtype;
  /** Most bytes of tensors in a file; undefined is one file. */
  readonly shardBytes?: number;
  /** Whether PyTorch's file is left out, and the same weights are written as safetensors. */
  readonly withoutBin?: boolean;
  /** Whether the experts of a layer are two tensors, as in transformers 5's modules. */
  readonly stacksExperts?: boolean;
  /** Whether gpt-oss' experts are MXFP4, as they are published. */
  readonly packsExperts?: boolean;
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  "smollm3-bf16": { of: "smollm3", dtype: "BF16" },
  "smollm3-f16": { of: "smollm3", dtype: "F16" },
  "gpt2-bf16": { of: "gpt2", dtype: "BF16" },
  "gpt2-f16": { of: "gpt2", dtype: "F16" },
  "smollm3-sharded": { of: "smollm3", shardBytes: 700_000 },
  "olmoe-f16": { of: "olmoe", dtype: "F16" },
  "olmoe-stacked": { of: "olmoe", stacksExperts: true },
  "mixtral-stacked": { of: "mixtral", stacksExperts: true },
  "gpt_oss-mxfp4": { of: "gpt_oss", packsExperts: true },
  "gpt2-tiny": { of: "gpt2-bin-legacy", withoutBin: true },
  "blenderbot-tiny": { of: "blenderbot-bin", withoutBin: true },
};

const TORCH_DTYPES: Readonly<Record<StoredDtype, string>> = {
  F32: "float32",
  BF16: "bfloat16",
  F16: "float16",
};

/** Names of all golden models but the variants of other families' ones. */
export const GOLDEN_NAMES: readonly string[] = readdirSync(FIXTURES, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name);

/** Models of other families' folders in another form, with the names of those folders. */
export const GOLDEN_VARIANTS: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(VARIANTS).map(([name, variant]) => [name, variant.of]),
);

/** Sources of the writers: the bytes of a written folder depend on them beside the family's files. */
const WRITERS = ["golden-folder.ts", "golden-weights.ts", "mxfp4-tensors.ts", "safetensors-bytes.ts"].map(
  (name) => readFileSync(new URL(name, import.meta.url)),
);

/**
 * The folder of a golden model, complete: config.json, weights and what else the family's folder has. Its base name is the
 * model's; nobody may write into it. Several processes may ask at once: each writes a folder of its own and the first one
 * to be done gives it its name.
 */
export function goldenPath(name: string): string {
  const directory = DIRECTORIES.get(name) ?? writtenFolder(name);
  DIRECTORIES.set(name, directory);
  return directory;
}

/** Folders that this process has asked for, by the names of their models. */
const DIRECTORIES = new Map<string, string>();

function writtenFolder(name: string): string {
  const variant = Object.hasOwn(VARIANTS, name) ? VARIANTS[name] : { of: name };
  const source = join(FIXTURES, variant.of);
  if (!existsSync(source)) {
    throw new Error(`No golden model is named "${name}"; expected a folder ${source} or a variant of one.`);
  }
  const files = readdirSync(source).sort();
  const hash = createHash("sha256").update(name);
  for (const content of [...WRITERS, ...files.map((file) => readFileSync(join(source, file)))]) {
    hash.update(content);
  }
  const directory = join(WRITTEN, hash.digest("hex").slice(0, 16), name);
  if (!existsSync(directory)) {
    mkdirSync(dirname(directory), { recursive: true });
    const fresh = mkdtempSync(`${directory}-`);
    writeFolder(source, files, variant, fresh);
    moveInPlace(fresh, directory);
  }
  return directory;
}

function moveInPlace(fresh: string, directory: string): void {
  try {
    renameSync(fresh, directory);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(directory)) {
      throw error;
    } // Otherwise another process was faster.
  }
}

function writeFolder(source: string, files: readonly string[], variant: Variant, directory: string): void {
  const manifest = JSON.parse(readFileSync(join(source, "tensors.json"), "utf8")) as TensorManifest;
  const { dtype = manifest.dtype, shardBytes, withoutBin = false } = variant;
  const { stacksExperts = false, packsExperts = false } = variant;
  const copied = files.filter((file) => file !== "config.json" && !(withoutBin && file.endsWith(".bin")));
  for (const file of copied) {
    copyFileSync(join(source, file), join(directory, file));
  }
  const config = JSON.parse(readFileSync(join(source, "config.json"), "utf8")) as object;
  const quantization = packsExperts ? { quantization_config: { quant_method: "mxfp4" } } : {};
  writeJson(join(directory, "config.json"), { ...config, torch_dtype: TORCH_DTYPES[dtype], ...quantization });
  if (copied.some((file) => file.endsWith(".bin"))) {
    return;
  }
  const separate = goldenTensors(manifest);
  const tensors = (stacksExperts ? withStackedExperts(separate) : separate).flatMap(
    (tensor): StoredTensor[] =>
      packsExperts && /\.experts\.\w+_proj$/.test(tensor.name)
        ? mxfp4Tensors(tensor)
        : [{ ...tensor, dtype, bytes: storedBytes(tensor.name, tensor.values, dtype) }],
  );
  if (shardBytes === undefined) {
    writeFileSync(join(directory, "model.safetensors"), fileOf(tensors));
  } else {
    writeShards(directory, tensors, shardBytes);
  }
}

/** Matrices of experts, and of what chooses them, by the names that files have. */
const EXPERT = /^(.*)\.(?:mlp|block_sparse_moe)\.(?:gate|experts\.(\d+)\.(\w+))\.weight$/;

/** The same tensors with those of all experts of a layer as transformers' modules have them. */
function withStackedExperts(tensors: readonly GoldenTensor[]): GoldenTensor[] {
  const others: GoldenTensor[] = [];
  const layers = new Map<string, Map<string, GoldenTensor>>();
  for (const tensor of tensors) {
    const [, layer, expert, module] = EXPERT.exec(tensor.name) ?? [];
    if (expert !== undefined) {
      const parts = layers.get(layer) ?? new Map<string, GoldenTensor>();
      layers.set(layer, parts.set(`${expert} ${module}`, tensor));
    } else {
      others.push(layer === undefined ? tensor : { ...tensor, name: `${layer}.mlp.gate.weight` });
    }
  }
  const stack = (name: string, parts: readonly GoldenTensor[], shape: readonly number[]): GoldenTensor => {
    const values = Float32Array.from(parts.flatMap((part) => [...part.values]));
    return { name, shape, values };
  };
  for (const [layer, parts] of layers) {
    const part = (expert: number, modules: readonly string[]): GoldenTensor =>
      modules.map((module) => parts.get(`${expert} ${module}`)).find((found) => found !== undefined)!;
    const experts = Array.from({ length: parts.size / 3 }, (_, e) => ({
      gate: part(e, ["gate_proj", "w1"]),
      up: part(e, ["up_proj", "w3"]),
      down: part(e, ["down_proj", "w2"]),
    }));
    const [rows, columns] = experts[0].gate.shape;
    others.push(
      stack(
        `${layer}.mlp.experts.gate_up_proj`,
        experts.flatMap(({ gate, up }) => [gate, up]),
        [experts.length, 2 * rows, columns],
      ),
      stack(
        `${layer}.mlp.experts.down_proj`,
        experts.map(({ down }) => down),
        [experts.length, columns, rows],
      ),
    );
  }
  return others.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/**
 * The bytes of a safetensors file as its own library writes it: tensors end to end, the data at a multiple of eight
 * bytes.
 */
function fileOf(tensors: readonly StoredTensor[]): Uint8Array {
  const header: Record<string, object> = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const { name, dtype, shape, bytes } of tensors) {
    const begin = end;
    end += bytes.length;
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const json = JSON.stringify(header);
  const padded = json.padEnd(Math.ceil(json.length / 8) * 8);
  return safetensorsBytes(padded, Buffer.concat(tensors.map(({ bytes }) => bytes)));
}

/** Writes files of at most `limit` bytes of tensors, named and indexed as transformers does it. */
function writeShards(directory: string, tensors: readonly StoredTensor[], limit: number): void {
  const shards: StoredTensor[][] = [];
  let size = Infinity;
  for (const tensor of tensors) {
    if (size + tensor.bytes.length > limit) {
      shards.push([]);
      size = 0;
    }
    shards[shards.length - 1].push(tensor);
    size += tensor.bytes.length;
  }
  const numbered = (count: number): string => String(count).padStart(5, "0");
  const weightMap: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const file = `model-${numbered(i + 1)}-of-${numbered(shards.length)}.safetensors`;
    writeFileSync(join(directory, file), fileOf(shard));
    for (const { name } of shard) {
      weightMap[name] = file;
    }
  }
  const elements = ({ shape }: StoredTensor): number => shape.reduce((product, size) => product * size, 1);
  const total = (of: (tensor: StoredTensor) => number): number => tensors.reduce((sum, t) => sum + of(t), 0);
  writeJson(join(directory, "model.safetensors.index.json"), {
    metadata: {
      total_parameters: total(elements),
      total_size: total(({ bytes }) => bytes.length),
    },
    weight_map: weightMap,
  });
}

function writeJson(path: string, value: object): void {
  writeFileSync(path, `${JSON.stringify(value, undefined, 2)}\n`);
}

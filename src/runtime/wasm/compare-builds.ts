/** Whether two builds of the kernels give the same bits, and how much faster the second one is. */
import { DOTS, instantiateKernels, type Kernels } from "../../kernels/wasm-module.ts";

const PAGE = 65536;
const PAGES = 9;
/** Where inputs, outputs, weights and scratch lie; each has more room than any trial below uses. */
const X = PAGE;
const Y = 2 * PAGE;
const W = 3 * PAGE;
const Z = 6 * PAGE;
const S = 7 * PAGE;

const COLUMNS = 259;
const PANELS = 2;
const ROWS = [1, 2, 3, 4, 5, 6, 7, 16];

/** A call of a hot kernel on the memory that `fill` made; what it leaves in Y is compared. */
type Trial = (kernels: Kernels) => void;

const gemms = ([0, 1, 2, 3] as const).flatMap((format) =>
  ROWS.filter((rows) => rows > 1).map((rows): [string, Trial] => [
    "gemm",
    (kernels) => {
      kernels.pack_rows(X, 1040, rows, COLUMNS, Z);
      kernels.gemm(Z, rows, W, PANELS, 0, PANELS, Y, 128, COLUMNS, 1, S, format);
    },
  ]),
);

const attends = [1, 4, 6].map((queries): [string, Trial] => [
  "attend",
  (kernels) => {
    const depth = 32;
    kernels.pack_queries(X, 128, queries, 1, depth, depth, 0.2, Z);
    kernels.reset_state(Y, queries, depth);
    new Int32Array(memoryOf(kernels), S, queries).fill(0).forEach((_, i, all) => (all[i] = 64 - i));
    kernels.attend(Z, queries, depth, W, S, Y, S + 256, 0, 0, 0, queries, 0);
    kernels.attend(Z, queries, depth, W + 16384, S, Y, S + 256, 0, 0, 0, queries, 64);
    kernels.attend(Z, queries, depth, W + 16384, S, Y, S + 256, 0.5, 0, 0, queries, 64);
    for (const kind of [0, -1, 100]) {
      const bias = S + 32_768;
      new Int32Array(memoryOf(kernels), bias, 5).set([kind, 0, X, 4 * queries, 150]);
      new Float32Array(memoryOf(kernels), bias + 4, 1)[0] = 0.5;
      kernels.attend(Z, queries, depth, W, S, Y, S + 256, 0, bias, 0, queries, 128);
    }
    kernels.combine(Y, 1, 0, queries, depth, depth, Y + 8192, 0);
  },
]);

const quantized = ([4, 5] as const).flatMap((format) =>
  [1, 2, 3, 4, 7].map((rows): [string, Trial] => [
    "gemm_quantized",
    (kernels) => {
      kernels.quantize_rows(X, 1040, rows, COLUMNS, Z);
      kernels.gemm_quantized(Z, rows, W, PANELS, 0, PANELS, Y, 128, COLUMNS, 1, S, format, DOTS.dot16);
      if (rows === 1) {
        kernels.gemv_quantized(Z, W, PANELS, 0, PANELS, Y + 16_384, COLUMNS, 1, S, format, DOTS.dot16);
      }
    },
  ]),
);

const TRIALS: readonly [string, Trial][] = [
  ["gemv_bf16", (kernels) => kernels.gemv_bf16(X, W, PANELS, 0, PANELS, Y, COLUMNS, 1)],
  [
    "gemv_f16",
    (kernels) => {
      kernels.scale_f16(X, Z, 260);
      kernels.gemv_f16(Z, W, PANELS, 0, PANELS, Y, COLUMNS, 1);
    },
  ],
  ["gemv_f32", (kernels) => kernels.gemv_f32(X, W, PANELS, 0, PANELS, Y, COLUMNS, 1)],
  ["gemv_i8_row", (kernels) => kernels.gemv_i8_row(X, W, PANELS, 0, PANELS, Y, COLUMNS, 1)],
  ["rms_norm", (kernels) => kernels.rms_norm(X, X + 4096, Y, 2, COLUMNS, 1040, 1e-5)],
  ["layer_norm", (kernels) => kernels.layer_norm(X, X + 4096, X + 8192, Y, 2, COLUMNS, 1040, 1e-5)],
  ["gate", (kernels) => kernels.gate(X, X + 4096, Y, 2, 260, 1040, 0)],
  ["gate", (kernels) => kernels.gate(X, X + 4096, Y, 2, 260, 1040, 3)],
  ["soft_cap", (kernels) => kernels.soft_cap(Y, 2, 260, 1040, 0.5)],
  ["activate", (kernels) => kernels.activate(X, Y, 2, 260, 1040, 3)],
  ["add", (kernels) => kernels.add(X, Y, 2, 260, 1040)],
  ["broadcast", (kernels) => kernels.broadcast(X, Y, 2, 260, 1040, 1)],
  ["scale_f16", (kernels) => kernels.scale_f16(X, Y, 260)],
  ["widen_half", (kernels) => kernels.widen_half(W, 512, Y)],
  ["rope", (kernels) => kernels.rope(Y, 1040, X, 2, 4, 64, 64)],
  ...gemms,
  ...quantized,
  ...attends,
];

const memories = new WeakMap<Kernels, ArrayBufferLike>();
function memoryOf(kernels: Kernels): ArrayBufferLike {
  return memories.get(kernels) ?? new ArrayBuffer(0);
}

/**
 * Runs every hot kernel of both builds on the same numbers.
 *
 * @returns the names of the kernels whose results differ in any bit, and by what factor `second` is faster in a register tile
 */
export function compareBuilds(
  first: WebAssembly.Module,
  second: WebAssembly.Module,
): { different: string[]; speedup: number } {
  const pair = [first, second].map((module) => {
    const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true });
    const kernels = instantiateKernels(module, memory);
    memories.set(kernels, memory.buffer);
    return {
      kernels,
      inputs: new Uint32Array(memory.buffer, X, (Z - X) / 4),
      words: new Uint32Array(memory.buffer, Y, PAGE / 4),
    };
  });
  const numbers = someNumbers((Z - X) / 4);
  const different = new Set<string>();
  for (const [name, trial] of TRIALS) {
    for (const { kernels, inputs } of pair) {
      inputs.set(numbers);
      trial(kernels);
    }
    const [a, b] = pair.map(({ words }) => words);
    if (!a.every((word, i) => word === b[i])) {
      different.add(name);
    }
  }
  const [slow, fast] = pair.map(({ kernels }) => tileSeconds(kernels));
  return { different: [...different], speedup: slow / fast };
}

/** Numbers from -2 to 2 that also make sense as 16-bit floats and bytes: exponents near 127 in both halves of a word. */
function someNumbers(count: number): Uint32Array {
  const words = new Uint32Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    words[i] = (state & 0x807f807f) | 0x3f003f00;
  }
  return words;
}

/** The shortest of some trials of a product of six rows, in seconds. */
function tileSeconds(kernels: Kernels): number {
  let least = Infinity;
  for (let i = 0; i < 9; i++) {
    const start = performance.now();
    for (let j = 0; j < 4; j++) {
      kernels.gemm(X, 6, W, 16, 0, 16, Y, 1024, 256, 0, S, 2);
    }
    least = Math.min(least, (performance.now() - start) / 1000);
  }
  return least;
}

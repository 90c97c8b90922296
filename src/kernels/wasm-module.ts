/** The compiled WASM kernel modules and the interface they export. */
import type { Activation } from "./activate/activation.ts";
import { wasm } from "./generated/wasm.ts";
import type { KernelBuild } from "./kernel-names.ts";

export { DOTS, KERNEL_BUILDS, type Dot, type KernelBuild } from "./kernel-names.ts";

/** The numbers by which `activate` knows activations. */
export const ACTIVATION_CODE: Record<Activation, number> = { silu: 0, relu: 1, gelu: 2, gelu_tanh: 3 };

/** An address in the instance's memory. Above 2 GiB JavaScript passes it as a signed number; both read the same. */
type Address = number;

/** What every kernel instance exports. Sizes are in elements unless named otherwise; see the *.as.ts sources. */
export interface Kernels {
  embed(table: Address, panels: number, row: number, columns: number, out: Address, format: number): void;
  rms_norm(
    x: Address,
    weight: Address,
    y: Address,
    rows: number,
    columns: number,
    stride: number,
    epsilon: number,
  ): void;
  layer_norm(
    x: Address,
    weight: Address,
    bias: Address,
    y: Address,
    rows: number,
    columns: number,
    stride: number,
    epsilon: number,
  ): void;
  gemv_bf16: Gemv;
  gemv_f16: Gemv;
  gemv_f32: Gemv;
  gemv_i8_row: Gemv;
  /** Returns 0 where a number does not fit. */
  convert(p: Address, count: number, source: number, target: number, out: Address): number;
  scale_f16(x: Address, out: Address, count: number): void;
  pack_rows(x: Address, ldx: number, rows: number, columns: number, out: Address): void;
  gemm(...product: GemmParameters): void;
  pack_panel(
    rows: Address,
    stride: number,
    columns: number,
    count: number,
    out: Address,
    panel: number,
    panels: number,
    format: number,
  ): void;
  quantize_rows(x: Address, ldx: number, rows: number, columns: number, out: Address): void;
  gemm_quantized(...product: [...GemmParameters, dot: number]): void;
  gemv_quantized(
    a: Address,
    w: Address,
    panels: number,
    first: number,
    count: number,
    y: Address,
    columns: number,
    accumulate: number,
    t: Address,
    format: number,
    dot: number,
  ): void;
  checksum(p: Address, bytes: number, count: number, first: number): number;
  /** Returns 0 where a weight is no finite number. */
  quantize_panel(
    rows: Address,
    stride: number,
    columns: number,
    count: number,
    out: Address,
    panel: number,
    panels: number,
    source: number,
    format: number,
    scratch: Address,
  ): number;
  /** Returns 0 where a weight is no finite number. */
  quantize_rows_gpu(
    rows: Address,
    stride: number,
    columns: number,
    count: number,
    out: Address,
    outStride: number,
    source: number,
    format: number,
    scratch: Address,
  ): number;
  route(
    x: Address,
    stride: number,
    y: Address,
    outStride: number,
    rows: number,
    experts: number,
    chosen: number,
    normalize: number,
  ): void;
  /** y = x * weight */
  weigh(x: Address, y: Address, columns: number, weight: number): void;
  /** y += x * weight */
  add_weighted(x: Address, y: Address, columns: number, weight: number): void;
  rope(
    x: Address,
    stride: number,
    table: Address,
    rows: number,
    heads: number,
    headDim: number,
    rotary: number,
  ): void;
  append(
    key: Address,
    value: Address,
    kvHeads: number,
    headDim: number,
    depth: number,
    block: Address,
    offset: number,
    half: number,
  ): void;
  pack_queries(
    q: Address,
    stride: number,
    rows: number,
    group: number,
    headDim: number,
    depth: number,
    scale: number,
    out: Address,
  ): void;
  reset_state(state: Address, queries: number, depth: number): void;
  attend(
    q: Address,
    queries: number,
    depth: number,
    block: Address,
    visible: Address,
    state: Address,
    scratch: Address,
    cap: number,
    bias: Address,
    head: number,
    group: number,
    start: number,
  ): void;
  attend_row(
    q: Address,
    kvHeads: number,
    group: number,
    depth: number,
    block: Address,
    visible: number,
    counts: Address,
    state: Address,
    scratch: Address,
    widened: Address,
    cap: number,
    bias: Address,
    start: number,
  ): void;
  widen_half(p: Address, count: number, out: Address): void;
  finish(
    state: Address,
    rows: number,
    group: number,
    headDim: number,
    depth: number,
    out: Address,
    stride: number,
    sinks: Address,
  ): void;
  combine(
    partials: Address,
    blocks: number,
    blockStride: number,
    heads: number,
    headDim: number,
    depth: number,
    out: Address,
    sinks: Address,
  ): void;
  /** y = activation(gate) * up */
  gate(
    gate: Address,
    up: Address,
    y: Address,
    rows: number,
    columns: number,
    stride: number,
    activation: number,
  ): void;
  /** y = g * sigmoid(alpha * g) * (u + 1), with g = min(gate, limit) and u = up within ± limit */
  gate_clamped(
    gate: Address,
    up: Address,
    y: Address,
    rows: number,
    columns: number,
    stride: number,
    alpha: number,
    limit: number,
  ): void;
  /** x = cap * tanh(x / cap) */
  soft_cap(x: Address, rows: number, columns: number, stride: number, cap: number): void;
  activate(x: Address, y: Address, rows: number, columns: number, stride: number, activation: number): void;
  add(x: Address, y: Address, rows: number, columns: number, stride: number): void;
  broadcast(x: Address, y: Address, rows: number, columns: number, stride: number, accumulate: number): void;
  argmax(x: Address, count: number): number;
  read_stream(p: Address, bytes: number): number;
  read_streams4(p: Address, bytes: number): number;
  read_wide(p: Address, bytes: number): number;
  fma_peak(turns: number, x: number, y: number): number;
}

type GemmParameters = [
  a: Address,
  rows: number,
  w: Address,
  panels: number,
  first: number,
  count: number,
  y: Address,
  ldy: number,
  columns: number,
  accumulate: number,
  b: Address,
  format: number,
];

type Gemv = (
  x: Address,
  w: Address,
  panels: number,
  first: number,
  count: number,
  y: Address,
  columns: number,
  accumulate: number,
) => void;

/** The bytes of a build's module. */
export function kernelBytes(build: KernelBuild): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(wasm[build], "base64"));
}

/** One instance over `memory` (its static constants are written into the first 64 KiB). */
export function instantiateKernels(module: WebAssembly.Module, memory: WebAssembly.Memory): Kernels {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}

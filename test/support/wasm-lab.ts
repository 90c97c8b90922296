/** A kernel instance with a guarded memory, for tests of single kernels. */
import {
  instantiateKernels,
  KERNEL_BUILDS,
  type KernelBuild,
  type Kernels,
} from "../../src/kernels/wasm-module.ts";
import { FORMATS, PANEL, panelBytes, panelScalesOffset } from "../../src/kernels/format.ts";
import { hasWideCompiler } from "../../src/runtime/platform/optimizing-compile.ts";
import { kernelModule } from "../../src/runtime/wasm/kernel-builds.ts";
import { checkGuard, GUARD, GUARD_WORDS } from "./guard.ts";
import type { StoredMatrix } from "./numbers.ts";

/** The builds that run here. */
export const BUILDS: readonly KernelBuild[] = KERNEL_BUILDS.filter(
  (build) => build !== "wide-256" || hasWideCompiler(),
);

const PAGE = 65536;

/** A part of the instance's memory. */
export interface Region {
  address: number;
  f32: Float32Array;
  i32: Int32Array;
  u8: Uint8Array;
}

export class WasmLab {
  readonly kernels: Kernels;
  readonly #buffer: ArrayBuffer | SharedArrayBuffer;
  #end = PAGE; // the module's constants are in the first page
  #guards: number[] = [];

  constructor(build: KernelBuild, megabytes = 32) {
    const pages = megabytes * 16;
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    this.kernels = instantiateKernels(kernelModule(build), memory);
    this.#buffer = memory.buffer;
  }

  /** Forgets all regions. */
  reset(): void {
    this.#end = PAGE;
    this.#guards = [];
  }

  /** A region of `words` 32-bit words, all set to `fill`, between guards. */
  take(words: number, fill = 0): Region {
    this.#guard();
    const address = this.#end;
    this.#end += Math.ceil(words / 4) * 16;
    // The words up to the next multiple of 4 are guards too.
    for (let i = words; i % 4 !== 0; i++) {
      this.#guardWord(address / 4 + i);
    }
    this.#guard();
    const f32 = new Float32Array(this.#buffer, address, words).fill(fill);
    const i32 = new Int32Array(this.#buffer, address, words);
    return { address, f32, i32, u8: new Uint8Array(this.#buffer, address, words * 4) };
  }

  /** A region that holds these numbers as f32. */
  numbers(values: ArrayLike<number>): Region {
    const region = this.take(values.length);
    region.f32.set(values);
    return region;
  }

  /** A matrix packed as the loader does it. */
  matrix(matrix: StoredMatrix): Region & { panels: number; format: number } {
    const { rows, columns, bytes } = matrix;
    const rowBytes = bytes.length / rows;
    const source = this.take(Math.ceil(bytes.length / 4));
    source.u8.set(bytes);
    const panels = Math.ceil(rows / PANEL);
    const format = FORMATS[matrix.format].code;
    const packed = this.take((panels * panelBytes(matrix.format, columns)) / 4, 123);
    for (let p = 0; p < panels; p++) {
      const from = source.address + p * PANEL * rowBytes;
      const count = Math.min(PANEL, rows - p * PANEL);
      this.kernels.pack_panel(from, rowBytes, columns, count, packed.address, p, panels, format);
    }
    if (matrix.scales !== undefined) {
      // The scales of rows that are not there are zeros, as in fresh memory.
      const from = panelScalesOffset(matrix.format, columns, panels, 0) / 4;
      packed.f32.fill(0, from);
      packed.f32.set(matrix.scales, from);
    }
    return { ...packed, panels, format };
  }

  /** Checks the guards. @throws Error when a kernel wrote outside the regions */
  checkGuards(): void {
    checkGuard(new Uint32Array(this.#buffer), this.#guards);
  }

  #guard(): void {
    for (let i = 0; i < GUARD_WORDS; i++) {
      this.#guardWord(this.#end / 4 + i);
    }
    this.#end += GUARD_WORDS * 4;
    if (this.#end > this.#buffer.byteLength) {
      throw new Error("The laboratory's memory is full.");
    }
  }

  #guardWord(word: number): void {
    new Uint32Array(this.#buffer)[word] = GUARD;
    this.#guards.push(word);
  }
}

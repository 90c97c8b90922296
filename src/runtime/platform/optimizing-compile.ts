/**
 * Compiles a small WebAssembly module straight with V8's optimising compiler.
 *
 * By default V8 starts with unoptimised code, five times slower here, and replaces it function by function once calls
 * have made it "hot"; a kernel that is called twice with seconds of work in each call would stay slow. The flags are
 * V8's and process-wide; they are set for the time of one synchronous compilation of some 30 KB and reset at once.
 * Where V8 does not take them, the module just warms up.
 */
import { setFlagsFromString } from "node:v8";

/**
 * @param options.wide whether V8 may make 256-bit operations of pairs of 128-bit ones (`hasWideCompiler`)
 */
export function compileOptimized(
  bytes: Uint8Array<ArrayBuffer>,
  { wide = false }: { wide?: boolean } = {},
): WebAssembly.Module {
  setFlagsFromString("--no-liftoff");
  setFlagsFromString("--no-wasm-lazy-compilation");
  if (wide) {
    setFlagsFromString("--experimental-wasm-revectorize");
  }
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    setFlagsFromString("--liftoff");
    setFlagsFromString("--wasm-lazy-compilation");
    if (wide) {
      setFlagsFromString("--no-experimental-wasm-revectorize");
    }
  }
}

/** Whether this Node's V8 was built with the pass that makes 256-bit operations. Whether it makes good ones is to be tried. */
export function hasWideCompiler(): boolean {
  const { variables } = process.config as { variables: Readonly<Record<string, unknown>> };
  return process.arch === "x64" && variables.v8_enable_wasm_simd256_revec === 1;
}

/**
 * Compiles a small WebAssembly module straight with V8's optimising compiler.
 *
 * By default V8 starts with unoptimised code, five times slower here, and replaces it function by function once calls
 * have made it "hot"; a kernel that is called twice with seconds of work in each call would stay slow. The flags are
 * V8's and process-wide; they are set for the time of one synchronous compilation of some 20 KB and reset at once.
 * Where V8 does not take them, the module just warms up.
 */
import { setFlagsFromString } from "node:v8";

export function compileOptimized(bytes: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  setFlagsFromString("--no-liftoff");
  setFlagsFromString("--no-wasm-lazy-compilation");
  try {
    return new WebAssembly.Module(bytes);
  } finally {
    setFlagsFromString("--liftoff");
    setFlagsFromString("--wasm-lazy-compilation");
  }
}

/** Which JavaScript runtime this is. */

interface OtherGlobals {
  readonly Deno?: { readonly version?: { readonly deno?: string } };
}

/** The name and version of a runtime that runs programs for Node.js and is another; undefined in Node.js itself. */
function otherRuntime(): string | undefined {
  const { bun } = process.versions;
  if (bun !== undefined) {
    return `Bun ${bun}`;
  }
  const { Deno: deno } = globalThis as OtherGlobals;
  return deno === undefined ? undefined : `Deno ${deno.version?.deno ?? "(of an unknown version)"}`;
}

/**
 * What whoever runs this elsewhere than in Node.js is told; undefined in Node.js. Both others were tried by hand (Bun 1.4.5,
 * Deno 2.9.6): library, command line and server work on the CPU, with the same texts. The kernels that compute in 256 bits need a
 * flag of V8's that only Node.js passes on.
 */
export function otherRuntimeNotice(): string | undefined {
  const other = otherRuntime();
  return other === undefined
    ? undefined
    : `This is ${other}: model-compose is made for Node.js and tested there; here the CPU works, without its fastest kernels, and GPUs have not been tried.`;
}

/** Makes dist/: the bundles, and the type declarations of the library. */
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { bundle } from "./bundle.ts";

const root = join(import.meta.dirname, "..");

await rm(join(root, "dist"), { recursive: true, force: true });
await bundle();

const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");
await promisify(execFile)(process.execPath, [tsc, "-p", "tsconfig.types.json"], { cwd: root }).catch(
  (error: unknown) => {
    const output = (error as { stdout?: string }).stdout ?? "";
    throw new Error(`The type declarations cannot be made.\n${output}`, { cause: error });
  },
);

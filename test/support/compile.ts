/** Compiles programs as a project does that has the package, and no other types but Node's. */
import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { promisify } from "node:util";
import { temporaryDirectory } from "./model-files.ts";

const root = resolve(import.meta.dirname, "../..");
const tsc = join(createRequire(import.meta.url).resolve("typescript/package.json"), "../bin/tsc");

/** How a project is set up. */
export interface ProjectOptions {
  /** Further packages that it has. */
  readonly packages?: readonly string[];
  /** Whether declarations of packages are not checked themselves. Default false. */
  readonly skipLibCheck?: boolean;
  /** How it finds modules. Default as Node.js does. */
  readonly resolution?: "nodenext" | "bundler";
}

/**
 * @param programs texts by the names of their files
 * @returns what the compiler says
 */
export async function compile(
  programs: Readonly<Record<string, string>>,
  { packages = [], skipLibCheck = false, resolution = "nodenext" }: ProjectOptions = {},
): Promise<string> {
  const folder = temporaryDirectory();
  const link = (name: string, target: string): void => {
    const place = join(folder, "node_modules", name);
    mkdirSync(dirname(place), { recursive: true });
    symlinkSync(target, place, "junction");
  };
  link("model-compose", root);
  packages.forEach((name) => link(name, join(root, "node_modules", name)));
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(folder, name), text);
  }
  const flags = [
    "--noEmit",
    "--strict",
    "--skipLibCheck",
    String(skipLibCheck),
    "--target",
    "es2024",
    "--lib",
    "es2024,esnext.disposable",
  ];
  const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")];
  const modules =
    resolution === "bundler"
      ? ["--module", "esnext", "--moduleResolution", "bundler"]
      : ["--module", resolution];
  const files = [...modules, "--preserveSymlinks", ...Object.keys(programs)];
  return promisify(execFile)(process.execPath, [tsc, ...flags, ...types, ...files], { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { stdout: string }).stdout,
  );
}

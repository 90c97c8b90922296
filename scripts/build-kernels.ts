/**
 * Compiles the AssemblyScript kernels into three WASM modules (see KernelBuild) and embeds them in
 * src/kernels/generated/wasm.ts, and all WGSL files in wgsl.ts beside it, so that neither the library nor its tests read
 * a file for them.
 */
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { globSync } from "node:fs";
import { join } from "node:path";
import { main as compile } from "assemblyscript/asc";

const root = join(import.meta.dirname, "..");
const output = join(root, "src/kernels/generated/wasm.ts");

async function newestSource(): Promise<number> {
  const files = [
    ...globSync("src/kernels/**/*.as.ts", { cwd: root }),
    "scripts/build-kernels.ts",
    "package-lock.json",
  ];
  const stats = await Promise.all(files.map((file) => stat(join(root, file))));
  return Math.max(...stats.map((s) => s.mtimeMs));
}

/** What distinguishes the builds; the names are KernelBuild's. */
const BUILDS = {
  baseline: { relaxed: false, wide: false },
  "relaxed-128": { relaxed: true, wide: false },
  "wide-256": { relaxed: true, wide: true },
};

async function build(name: keyof typeof BUILDS): Promise<Buffer> {
  const target = join(root, `build/kernels.${name}.wasm`);
  const features = ["simd", "threads", "bulk-memory", ...(BUILDS[name].relaxed ? ["relaxed-simd"] : [])];
  const stderr: string[] = [];
  const { error } = await compile(
    [
      join("src", "kernels", "wasm.as.ts"),
      "--baseDir",
      root,
      "--outFile",
      target,
      "--textFile",
      target.replace(/wasm$/, "wat"),
      "-O3",
      "--noAssert",
      "--runtime",
      "stub",
      "--use",
      `abort=,WIDE=${Number(BUILDS[name].wide)}`,
      // Every instance gets a memory of its own, shared so that peers can copy into it.
      "--importMemory",
      "--sharedMemory",
      "--initialMemory",
      "1",
      "--maximumMemory",
      "65536",
      ...features.flatMap((feature) => ["--enable", feature]),
    ],
    { stderr: { write: (chunk: string | Uint8Array) => void stderr.push(String(chunk)) } },
  );
  if (error) {
    throw new Error(`The ${name} kernels do not compile.\n${stderr.join("")}`, { cause: error });
  }
  if (stderr.length > 0) {
    process.stderr.write(stderr.join(""));
  }
  return readFile(target);
}

await mkdir(join(root, "src/kernels/generated"), { recursive: true });
const shaders = globSync("src/kernels/**/*.wgsl", { cwd: root }).map((path) => path.replaceAll("\\", "/"));
const texts = await Promise.all(
  shaders.sort().map(async (path) => {
    const text = (await readFile(join(root, path), "utf8")).replaceAll("\r\n", "\n");
    return `  ${JSON.stringify(path.replace("src/kernels/", ""))}: ${JSON.stringify(text)},\n`;
  }),
);
await writeFile(
  join(root, "src/kernels/generated/wgsl.ts"),
  `// Made by scripts/build-kernels.ts.\nexport const wgsl: Readonly<Record<string, string>> = {\n${texts.join("")}};\n`,
);

const upToDate = await stat(output).then(
  async (s) => s.mtimeMs > (await newestSource()),
  () => false,
);
if (!upToDate) {
  await mkdir(join(root, "build"), { recursive: true });
  const names = Object.keys(BUILDS) as (keyof typeof BUILDS)[];
  const modules = await Promise.all(names.map(async (name) => [name, await build(name)] as const));
  const lines = modules.map(([name, bytes]) => `  "${name}": "${bytes.toString("base64")}",\n`);
  await writeFile(
    output,
    `// Made by scripts/build-kernels.ts.\nexport const wasm = {\n${lines.join("")}};\n`,
  );
  const sizes = modules.map(([name, bytes]) => `${name} ${bytes.length} bytes`);
  process.stderr.write(`kernels: ${sizes.join(", ")}\n`);
}

/** Scripts in processes of their own, which nothing but the script's end may end. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

const root = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Runs a module's text in Node.
 *
 * @param bindings constants that the module finds: paths, numbers
 * @param environment values instead of this process's; undefined takes one away
 */
export async function runScript(
  script: string,
  {
    bindings = {},
    environment = {},
    timeoutMilliseconds = 30_000,
  }: {
    bindings?: Readonly<Record<string, unknown>>;
    environment?: Readonly<Record<string, string | undefined>>;
    timeoutMilliseconds?: number;
  } = {},
): Promise<Ended> {
  const constants = Object.entries(bindings).map(
    ([name, value]) => `const ${name} = ${JSON.stringify(value)};`,
  );
  const child = spawn(
    process.execPath,
    ["--no-warnings", "--input-type=module", "-e", [...constants, script].join("\n")],
    { cwd: root, env: { ...process.env, ...environment } },
  );
  const ended: Ended = { code: null, stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (ended.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (ended.stderr += chunk.toString()));
  const timer = setTimeout(() => child.kill(), timeoutMilliseconds);
  ended.code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  clearTimeout(timer);
  return ended;
}

/** The URL of a module beside this one, for `await import(…)` in a script. */
export function supportUrl(name: string): string {
  return new URL(name, import.meta.url).href;
}

/** The URL of a module under src/, for `await import(…)` in a script. */
export function sourceUrl(path: string): string {
  return new URL(`../../src/${path}`, import.meta.url).href;
}

/** Drivers that write to stderr, crash and hang: what a user of the command line sees of them. */
import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { temporaryDirectory } from "./support/model-files.ts";

const CLI = resolve(import.meta.dirname, "../dist/cli.js");

/** JavaScript that stands for a driver, in the process that asks the drivers and in no other. */
const inProbe = (code: string): string =>
  `data:text/javascript,${encodeURIComponent(`if (process.argv[1]?.endsWith("gpu-probe.js")) { ${code} }`)}`;

let cache = "";
beforeEach(() => {
  cache = temporaryDirectory();
});

function generate(
  driver: string,
  ...flags: string[]
): { status: number | null; stdout: string; stderr: string } {
  const args = [CLI, "generate", "--model", "tales", "Once", "--max-tokens", "2", "--greedy", ...flags];
  return spawnSync(process.execPath, args, {
    encoding: "utf8",
    env: {
      ...process.env,
      NO_COLOR: "1",
      MODEL_COMPOSE_CACHE_DIR: cache,
      NODE_OPTIONS: `--import ${inProbe(driver)}`,
      XDG_RUNTIME_DIR: join(cache, "nothing"),
    },
  });
}

const hasVulkan = process.env.VK_ICD_FILENAMES !== undefined;

describe.runIf(hasVulkan)("drivers that write to stderr", () => {
  const noisy = `process.stderr.write("error: XDG_RUNTIME_DIR is invalid\\n");
    process.stdout.write(JSON.stringify({ adapters: [] }) + "\\n"); process.exit(0);`;

  it("are only heard with --verbose, from the answer of an earlier process too", () => {
    expect(generate(noisy, "--quiet")).toMatchObject({ status: 0, stderr: "" });
    const plain = generate(noisy).stderr;
    expect(plain).not.toMatch(/XDG|Vulkan|adapter/);
    expect(plain).toMatch(/^Model: tales.* Device: wasm .*\(there is no GPU\)/m);
    expect(generate(noisy, "--verbose").stderr).toContain("error: XDG_RUNTIME_DIR is invalid\n");
  });

  it("are not asked where the CPU is asked for", () => {
    const { status, stderr } = generate("process.exit(3);", "--device", "cpu");
    expect({ status, cpu: stderr.includes("Device: wasm") }).toEqual({ status: 0, cpu: true });
    expect(generate("process.exit(3);", "--device", "webgpu")).toMatchObject({ status: 1, stdout: "" });
  });

  it("crash alone", () => {
    const crash = 'process.kill(process.pid, "SIGSEGV");';
    expect(generate(crash)).toMatchObject({ status: 0 });
    expect(generate(crash, "--device", "webgpu").stderr).toMatch(
      /^error: The GPU's driver fails when it is asked for its adapters: signal SIGSEGV\. Use the device "wasm"/m,
    );
  });
});

import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Measurement } from "../bench/peers/runner/contender.ts";
import { readPeersFlags } from "../bench/peers/runner/flags.ts";
import { jsonOf, scriptResult } from "../bench/peers/runner/fresh-process.ts";
import { buildOptions, llamaContender } from "../bench/peers/runner/llama-bench.ts";
import { isNewer } from "../bench/peers/runner/made-files.ts";
import { toJson, toMarkdown, type PeersResult } from "../bench/peers/runner/result.ts";
import { orderOfRound } from "../bench/peers/runner/schedule.ts";

const ROOT = join(import.meta.dirname, "..");
const TALES = join(ROOT, "models/tales");
const WORKLOAD = { threads: 2, promptTokens: 512, decodePromptTokens: 128, newTokens: 48 };

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "peers-"));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe("the command line", () => {
  it("has the documented defaults", () => {
    const flags = readPeersFlags(["--model", "m", "--threads", "3"]);
    expect(flags).toMatchObject({ types: ["bf16", "q8_0", "q4_0"], engines: undefined, rounds: 5 });
    expect(flags?.workload).toEqual({ ...WORKLOAD, threads: 3 });
    expect(readPeersFlags(["--help"])).toBeUndefined();
  });

  it("takes lists, and refuses names that are in none", () => {
    const flags = readPeersFlags([
      "--model",
      "m",
      "--types",
      "f16,f16",
      "--engines",
      "native,node-llama-cpp",
    ]);
    expect(flags).toMatchObject({ types: ["f16"], engines: ["native", "node-llama-cpp"] });
    expect(() => readPeersFlags(["--model", "m", "--types", "q5_k"])).toThrow('found "q5_k"');
    expect(() => readPeersFlags(["--model", "m", "--rounds", "0"])).toThrow("--rounds must be an integer");
    expect(() => readPeersFlags([])).toThrow("--model is missing");
  });

  it("says what to build when a named engine is not there", async () => {
    const args = [
      join(ROOT, "bench/peers/run.ts"),
      "--model",
      TALES,
      "--work",
      folder,
      "--engines",
      "native",
    ];
    const failed = await promisify(execFile)(process.execPath, args).catch((error: unknown) => error);
    expect((failed as { stderr: string }).stderr).toContain(
      `native is not installed. Build it into "${join(folder, "native")}" as bench/peers/README.md says.`,
    );
    expect((failed as { code: number }).code).toBe(1);
  });
});

describe("rounds", () => {
  it("puts those with weights of as many bits side by side, and goes backwards every other round", () => {
    const contender = (engine: string, bits: number) => ({ engine, bits });
    const [ours, theirs] = [contender("ours", 16), contender("theirs", 16)];
    const [ours8, theirs8] = [contender("ours", 8), contender("theirs", 8)];
    const all = [ours8, ours, theirs, theirs8];
    expect(orderOfRound(all, 0)).toEqual([ours, theirs, ours8, theirs8]);
    expect(orderOfRound(all, 1)).toEqual([theirs8, ours8, theirs, ours]);
    expect(orderOfRound(all, 2)).toEqual(orderOfRound(all, 0));
  });
});

describe("files that are made from a model", () => {
  it("are kept until a file of the model is newer", async () => {
    const model = join(folder, "model");
    await mkdir(model);
    await writeFile(join(model, "weights"), "");
    const made = join(folder, "made");
    expect(await isNewer(made, model)).toBe(false);
    await writeFile(made, "");
    const later = new Date(Date.now() + 60_000);
    await utimes(made, later, later);
    expect(await isNewer(made, model)).toBe(true);
    const evenLater = new Date(Date.now() + 120_000);
    await utimes(join(model, "weights"), evenLater, evenLater);
    expect(await isNewer(made, model)).toBe(false);
  });
});

describe("processes", () => {
  it("gives what a script prints, and says why one failed", async () => {
    const echo = join(folder, "echo.mjs");
    await writeFile(echo, "console.log(JSON.stringify({ got: JSON.parse(process.argv[2]) }))");
    expect(await scriptResult(echo, { a: 1 })).toEqual({ got: { a: 1 } });
    await writeFile(join(folder, "fail.mjs"), 'console.error("no such model"); process.exit(3)');
    await expect(jsonOf(process.execPath, [join(folder, "fail.mjs")])).rejects.toThrow(
      /"node fail\.mjs" failed: no such model/,
    );
    await writeFile(join(folder, "text.mjs"), 'console.log("done")');
    await expect(jsonOf(process.execPath, [join(folder, "text.mjs")])).rejects.toThrow(
      "printed no JSON: done",
    );
  });

  it("asks llama-bench for a prefill and for a decode after a prompt", async () => {
    const program = join(folder, "llama-bench");
    // The rate is the number of arguments, so that what was asked for shows.
    const text = `#!${process.execPath}
const args = process.argv.slice(2).join(" ");
const rates = { "-m f.gguf -t 2 -r 1 -o json -p 512 -n 0": 10, "-m f.gguf -t 2 -r 1 -o json -p 0 -n 48 -d 128": 20 };
console.log(JSON.stringify([{ avg_ts: rates[args], build_commit: "x" }]));`;
    await writeFile(program, text, { mode: 0o755 });
    const file = { path: "f.gguf", weights: "bf16", weightBytesPerToken: 7 } as const;
    const contender = llamaContender(program, "native", file);
    expect(await contender.measure(WORKLOAD)).toEqual({
      prefillTokensPerSecond: 10,
      decodeTokensPerSecond: 20,
      weightBytesPerToken: 7,
    });
    await expect(contender.measure({ ...WORKLOAD, threads: 3 })).rejects.toThrow("something else");
  });

  it("reads how a build was configured", async () => {
    const work = join(folder, "work");
    await mkdir(join(work, "native"), { recursive: true });
    const lines = [
      "// a comment",
      "CMAKE_BUILD_TYPE:STRING=Release",
      "GGML_NATIVE:BOOL=ON",
      "GGML_AVX2:BOOL=OFF",
      "GGML_CUDA_FA:BOOL=ON",
      "GGML_AVX512_VNNI:BOOL=ON",
    ];
    await writeFile(join(work, "native", "CMakeCache.txt"), lines.join("\n"));
    expect(await buildOptions(work, "native")).toEqual({
      CMAKE_BUILD_TYPE: "Release",
      GGML_NATIVE: "ON",
      GGML_AVX512_VNNI: "ON",
    });
  });
});

describe("the result", () => {
  const measurement = (prefill: number, decode: number, more: Partial<Measurement> = {}): Measurement => ({
    prefillTokensPerSecond: prefill,
    decodeTokensPerSecond: decode,
    weightBytesPerToken: 2e9,
    ...more,
  });
  const result: PeersResult = {
    model: "tiny",
    machine: { cpuModel: "CPU", cores: 2, platform: "linux x64", nodeVersion: "24.0.0", version: "0.1.0" },
    workload: WORKLOAD,
    rounds: [
      {
        contender: { engine: "model-compose", build: "wasm", weights: "bf16", bits: 16 },
        measurements: [
          measurement(100, 4, { readBandwidth: 10e9, build: "wasm wide-256" }),
          measurement(140, 6, { readBandwidth: 20e9, build: "wasm wide-256" }),
          measurement(110, 5, { readBandwidth: 12e9, build: "wasm wide-256" }),
        ],
        loadBefore: [0, 0.5, 0],
      },
      {
        contender: { engine: "llama.cpp", build: "native", weights: "q8_0", bits: 8 },
        measurements: [measurement(1, 3), measurement(3, 1), measurement(2, 2)],
        loadBefore: [0, 0, 0],
      },
    ],
    builds: { native: { GGML_NATIVE: "ON" } },
    packages: { "node-llama-cpp": "1.2.3" },
  };

  it("is a table of medians with their spread", () => {
    expect(toMarkdown(result).split("\n")).toEqual([
      "tiny: CPU, 2 cores, linux x64, Node 24.0.0, 2 threads; rounds in turn: 3, each measurement in a fresh process: median (min–max).",
      "Read bandwidth of the same threads, measured by our engine: 12.0 (10.0–20.0) GB/s.",
      "Peers: node-llama-cpp 1.2.3.",
      "",
      "| engine | build | weights | prefill 512, tokens/s | decode 48 after 128, tokens/s | weights read, GB/s | of the read bandwidth |",
      "| --- | --- | --- | --- | --- | --- | --- |",
      "| model-compose | wasm wide-256 | bf16 | 110 (100–140) | 5.00 (4.00–6.00) | 10.0 | 0.83 |",
      "| llama.cpp | native | q8_0 | 2.00 (1.00–3.00) | 2.00 (1.00–3.00) | 4.0 | 0.33 |",
      "",
    ]);
  });

  it("is JSON with every round", () => {
    expect(toJson(result)).toMatchObject({
      model: "tiny",
      cpu_model: "CPU",
      threads: 2,
      read_bandwidth_bytes_per_second: 12e9,
      read_bandwidth_bytes_per_second_max: 20e9,
      builds: { native: { GGML_NATIVE: "ON" } },
      contenders: [
        {
          engine: "model-compose",
          build: "wasm wide-256",
          weight_bytes_per_token: 2e9,
          prefill_tokens_per_second: 110,
          decode_tokens_per_second_min: 4,
          rounds: [{ decode_tokens_per_second: 4, load_average: 0 }, { load_average: 0.5 }, {}],
        },
        { engine: "llama.cpp", weights: "q8_0", decode_tokens_per_second: 2 },
      ],
    });
  });

  it("has no share of a bandwidth that nobody measured", () => {
    const table = toMarkdown({ ...result, rounds: result.rounds.slice(1) });
    expect(table).not.toContain("Read bandwidth");
    expect(table).toContain("| 4.0 |  |");
  });
});

/** The benchmark of the GPU, as it is run: names, counts and figures that fit together; nothing about speed. */
import { execFile, type ExecFileException } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { CHECKPOINT_SHAPES, checkpointOfShape } from "../bench/checkpoint/shapes.ts";
import { writeCheckpoint } from "../bench/checkpoint/write-checkpoint.ts";
import { nmse } from "../bench/harness/check.ts";
import { medianCost } from "../bench/harness/measurements.ts";
import { profileRows, type ProfileRow } from "../bench/harness/profiles.ts";
import { openSubject } from "../bench/harness/subject.ts";
import { WebGpuBackend } from "../src/runtime/webgpu/backend.ts";
import { measureRead } from "../src/runtime/measure.ts";
import { requireTimestamps } from "../src/runtime/webgpu/run/timestamps.ts";
import { modelPath } from "./support/golden.ts";

const SCRIPT = join(import.meta.dirname, "../bench/bench.ts");
const TALES = modelPath("tales");
const ADAPTER = process.env.MODEL_COMPOSE_TEST_ADAPTER ?? "swiftshader";

interface Ended {
  code: unknown;
  stdout: string;
  stderr: string;
}

function bench(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [SCRIPT, ...args], (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, stdout, stderr });
    });
  });
}

test("the cost of a step: medians of its parts and of their sums", () => {
  const costs = [
    { dispatches: 7, encodeSeconds: 0.001, submitSeconds: 0.004 },
    { dispatches: 7, encodeSeconds: 0.002, submitSeconds: 0.001 },
    { dispatches: 7, encodeSeconds: 0.003, submitSeconds: 0.003 },
  ];
  expect(medianCost(costs)).toEqual({
    dispatches: 7,
    encodeMilliseconds: 2,
    submitMilliseconds: 3,
    bothMilliseconds: 5,
  });
});

test("normalised mean squared error", () => {
  expect(nmse(Float32Array.of(3, 4), Float32Array.of(3, 4))).toBe(0);
  expect(nmse(Float32Array.of(3, 5), Float32Array.of(3, 4))).toBe(1 / 25);
});

test("shares and rates of a profile", () => {
  const kernels = [
    { name: "a", dispatches: 2, seconds: 3, bytes: 30 },
    { name: "b", dispatches: 1, seconds: 1, bytes: 5 },
  ];
  expect(profileRows(kernels, 20)).toEqual([
    {
      kernel: "a",
      dispatches: 2,
      seconds: 3,
      share: 0.75,
      bytes: 30,
      bytes_per_second: 10,
      bandwidth_fraction: 0.5,
    },
    {
      kernel: "b",
      dispatches: 1,
      seconds: 1,
      share: 0.25,
      bytes: 5,
      bytes_per_second: 5,
      bandwidth_fraction: 0.25,
    },
  ]);
});

test("an adapter without timestamps is named", () => {
  expect(() => {
    requireTimestamps({ features: { timestamps: false }, summary: { name: "Toaster" } });
  }).toThrow("The GPU Toaster has no timestamps");
});

test("a read of other bytes than the CPU has seen is found out", async () => {
  const lengths = { promptTokens: 4, decodePromptTokens: 4, newTokens: 4, contextLength: 16 };
  const { program, checkpoint, contextLength } = await openSubject(TALES, lengths);
  const backend = new WebGpuBackend({ name: ADAPTER });
  const executable = await (await backend.prepare(program, checkpoint, { contextLength, slots: 1 })).load();
  try {
    const rates = await measureRead(executable);
    expect(rates.size).toBe(3);
    for (const rate of rates.values()) {
      expect(rate).toBeGreaterThan(0);
    }
    // The bytes that the CPU has read are not what the GPU reads now.
    const name = [...executable.resources.buffers.keys()].find((key) => key.startsWith("weight"));
    const word = executable.resources.buffer(name ?? "");
    executable.resources.context.device.queue.writeBuffer(word, 0, Uint32Array.of(0x7fc0dead));
    await expect(measureRead(executable)).rejects.toMatchObject({ code: "device" });
  } finally {
    await executable.dispose();
  }
});

describe("on a software adapter", () => {
  const lengths = "--prompt-tokens 18 --decode-prompt-tokens 5 --new-tokens 6 --repeat 1 --context-length 64";

  test("one JSON object: the names of the CPU's and those of the GPU, checked and profiled", async () => {
    const flags = `--device webgpu:${ADAPTER} --check --profile --threads 1 --json`;
    const { code, stdout, stderr } = await bench("--model", TALES, ...`${lengths} ${flags}`.split(" "));
    expect(code, stderr).toBe(0);
    expect(stderr).toContain("Device: webgpu (");
    const result = JSON.parse(stdout) as Record<string, number> & {
      profile_decode: ProfileRow[];
      profile_prefill: ProfileRow[];
    };
    const repeated = [
      "load_seconds",
      "file_read_seconds",
      "time_to_first_token_seconds",
      "prefill_tokens_per_second",
      "prefill_flops_per_second",
      "decode_tokens_per_second",
      "gpu_read_bandwidth_bytes_per_second",
      "decode_bandwidth_fraction",
      "encode_ms_per_token",
      "submit_ms_per_token",
    ];
    for (const name of repeated) {
      const [x, min, max] = [result[name], result[`${name}_min`], result[`${name}_max`]];
      expect(min, name).toBeGreaterThan(0);
      expect(min, name).toBeLessThanOrEqual(x);
      expect(x, name).toBeLessThanOrEqual(max);
    }
    expect(result).toMatchObject({
      prefill_mode: "exact",
      prompt_tokens: 18,
      decode_prompt_tokens: 5,
      new_tokens: 6,
      context_length: 64,
      time_to_first_token_prompt_tokens: 16,
      check_passed: true,
      check_tokens: 6,
      check_equal_tokens: 6,
      check_largest_margin: 0,
      check_prefill_same_token: true,
    });
    expect(result["adapter"]).toBeTypeOf("string");
    expect(result["check_prefill_nmse"]).toBeLessThan(1e-8);
    // Figures that only the CPU has are absent, not made up.
    const cpuOnly = ["threads", "kernel_build", "fma_peak_flops", "prefill_peak_fraction"];
    expect(Object.keys(result).filter((name) => cpuOnly.includes(name))).toEqual([]);

    for (const profile of [result.profile_decode, result.profile_prefill]) {
      expect(profile.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 10);
      expect(profile.map(({ seconds }) => seconds)).toEqual(
        profile.map(({ seconds }) => seconds).sort((a, b) => b - a),
      );
    }
    const dispatches = result.profile_decode.reduce((sum, row) => sum + row.dispatches, 0);
    expect(dispatches).toBe(result["dispatches_per_token"]);
    // Every weight is read once: the bytes of the products are at least the weights'.
    const bytes = result.profile_decode.reduce((sum, row) => sum + row.bytes, 0);
    expect(bytes).toBeGreaterThanOrEqual(result["weight_bytes_per_token"]);
    expect(result.profile_prefill.map(({ kernel }) => kernel)).toContain("attention block");
  }, 180_000);

  test("an adapter that is not there: one line, an exit code", async () => {
    const { code, stdout, stderr } = await bench("--model", TALES, "--device", "webgpu:toaster");
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain('No WebGPU adapter has "toaster" in its name');
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("on Dawn's null backend", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "model-compose-bench-gpu-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("36 layers are at most 256 dispatches a token, and fit into what the backend holds", async () => {
    const { code, stdout, stderr } = await bench(
      ..."--dawn-backend null --new-tokens 12 --repeat 3 --json".split(" "),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const result = JSON.parse(stdout) as Record<string, number> & Record<`${string}_runs`, number[]>;
    expect(result).toMatchObject({ model: "smollm3-narrow", layers: 36, adapter: "Null backend", repeat: 3 });
    expect(result["dispatches_per_token"]).toBeLessThanOrEqual(256);
    // Below five a layer something would be missing: products, attention and its combination.
    expect(result["dispatches_per_token"]).toBeGreaterThan(36 * 5);
    const names = ["encode", "submit", "encode_and_submit", "cpu"].map((name) => `${name}_ms_per_token`);
    for (const name of names) {
      const runs = result[`${name}_runs`];
      expect(runs, name).toHaveLength(3);
      expect(result[name], name).toBe(Math.min(...runs));
      expect(result[name], name).toBeGreaterThan(0);
    }
    expect(result["weight_bytes"] + result["kv_cache_bytes"] + result["work_bytes"]).toBeLessThan(
      512 * 2 ** 20,
    );
  });

  test("the count is that of the recorded dispatches", async () => {
    const directory = join(folder, "tiny");
    await writeCheckpoint(directory, checkpointOfShape(CHECKPOINT_SHAPES["smollm3-tiny"]), {
      dtype: "bf16",
      seed: 1,
    });
    const line = "--dawn-backend null --new-tokens 4 --repeat 1 --decode-prompt-tokens 3 --context-length 64";
    const json = await bench(...line.split(" "), "--model", directory, "--json");
    expect(json.code, json.stderr).toBe(0);
    const { dispatches_per_token: counted } = JSON.parse(json.stdout) as Record<string, number>;

    const lengths = { promptTokens: 3, decodePromptTokens: 3, newTokens: 4, contextLength: 64 };
    const { program, checkpoint, contextLength } = await openSubject(directory, lengths);
    const backend = new WebGpuBackend({
      name: "null",
      dawnFlags: ["backend=null"],
      forced: { kind: "hardware" },
    });
    const executable = await (await backend.prepare(program, checkpoint, { contextLength, slots: 1 })).load();
    const { body, head } = await executable.resources.form("forward", "one");
    const choice = await executable.resources.choice("gpu-greedy", 0, true);
    await executable.dispose();
    expect(counted).toBe(body.length + head.length + choice.length);
    const table = await bench(...line.split(" "), "--model", directory);
    expect(table.stdout).toMatch(new RegExp(`^dispatches +${counted}$`, "m"));
  });
});

/** What a config.json may say of RoPE at the borders of what is allowed; whole files are read in families/. */
import { describe, expect, test } from "vitest";
import { readRopeParameters, type RopeParameters } from "./rope-parameters.ts";
import type { JsonObject } from "../../base/json.ts";

const read = (values: JsonObject, defaultTheta = 10_000): RopeParameters =>
  readRopeParameters({ path: "config.json", values }, defaultTheta);

/** The message with which values are refused. */
function refusal(values: JsonObject): string {
  try {
    read(values);
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was refused";
}

describe("the base", () => {
  test("is the family's where the file has none, and may stand in either place, or in both", () => {
    const rope_parameters = { rope_theta: 500 };
    expect(read({})).toEqual({ type: "default", theta: 10_000 });
    expect(read({ rope_theta: null, rope_parameters: { rope_theta: null } }).theta).toBe(10_000);
    expect(read({ rope_theta: 300 }).theta).toBe(300);
    expect(read({ rope_parameters }).theta).toBe(500);
    expect(read({ rope_parameters, rope_theta: 500 }).theta).toBe(500);
    expect(refusal({ rope_parameters, rope_theta: 300 })).toContain("given twice, as 300 and as 500");
  });

  test("is more than 1", () => {
    expect(read({ rope_theta: 1.5 }).theta).toBe(1.5);
    expect(read({ rope_theta: 1e12 }).theta).toBe(1e12);
    expect(refusal({ rope_theta: 1 })).toContain('"rope_theta": expected more than 1, found 1');
    expect(refusal({ rope_theta: 1e300 })).toContain(
      '"rope_theta": expected at most 1000000000000, found 1e+300',
    );
    expect(refusal({ rope_theta: Infinity })).toContain('"rope_theta": expected number, found Infinity');
  });
});

describe("the type", () => {
  test("has two names, of which null is none", () => {
    expect(read({ rope_scaling: { rope_type: "linear", type: "linear", factor: 2 } }).type).toBe("linear");
    expect(read({ rope_scaling: { rope_type: null, type: "linear", factor: 2 } }).type).toBe("linear");
    expect(read({ rope_scaling: { rope_type: "dynamic", type: null, factor: 2 } }).type).toBe("dynamic");
    expect(read({ rope_scaling: { rope_type: null, type: null } }).type).toBe("default");
    expect(refusal({ rope_scaling: { rope_type: "linear", type: "dynamic", factor: 2 } })).toContain(
      '"rope_scaling" has "rope_type" "linear" and "type" "dynamic"; expected one type.',
    );
    expect(refusal({ rope_scaling: { type: 3 } })).toContain('"rope_scaling" has type 3; expected one of');
  });

  test("may be said in two objects that are the same; null is no object", () => {
    const linear = { rope_type: "linear", factor: 2 };
    const scaled = { type: "linear", factor: 2 };
    expect(read({ rope_scaling: linear, rope_parameters: { ...linear } })).toMatchObject(scaled);
    expect(read({ rope_scaling: linear, rope_parameters: null })).toMatchObject(scaled);
    expect(read({ rope_scaling: null, rope_parameters: null }).type).toBe("default");
    expect(refusal({ rope_scaling: [] })).toContain('"rope_scaling" is []; expected an object or null.');
  });

  test("is supported, or known to transformers, or neither", () => {
    const supported = 'supported are "default", "linear", "dynamic", "llama3" and "yarn".';
    expect(refusal({ rope_scaling: { type: "longrope" } })).toContain(supported);
    expect(refusal({ rope_scaling: { type: "su" } })).toContain('has type "su"; expected one of "default"');
  });
});

test("heads rotate whole, wherever the file says it", () => {
  expect(read({ partial_rotary_factor: 1 }).type).toBe("default");
  expect(read({ rope_parameters: { partial_rotary_factor: 1 }, partial_rotary_factor: 0.5 }).type).toBe(
    "default",
  );
  expect(refusal({ rope_parameters: { partial_rotary_factor: 0.25 } })).toContain(
    '"partial_rotary_factor" is 0.25; supported is 1.',
  );
});

test("a factor is 1 or more, also where its formula does not need it here", () => {
  for (const type of ["linear", "dynamic", "yarn"]) {
    expect(read({ rope_scaling: { type, factor: 1 } }).type).toBe(type);
    expect(refusal({ rope_scaling: { type, factor: 0.99 } })).toContain('"factor": expected at least 1');
    expect(refusal({ rope_scaling: { type, factor: 1e7 } })).toContain('"factor": expected at most 1000000');
    expect(refusal({ rope_scaling: { type } })).toContain('"rope_scaling": "factor": expected number');
  }
});

describe("Llama 3", () => {
  const llama3 = { rope_type: "llama3", factor: 8, low_freq_factor: 1, high_freq_factor: 4 };

  test("is read whole", () => {
    expect(
      read({ rope_scaling: { ...llama3, original_max_position_embeddings: 64 }, rope_theta: 500 }),
    ).toEqual({
      type: "llama3",
      theta: 500,
      factor: 8,
      lowFrequencyFactor: 1,
      highFrequencyFactor: 4,
      originalMaxPositions: 64,
    });
    expect(read({ rope_scaling: llama3 })).toMatchObject({ originalMaxPositions: undefined });
  });

  test("has a high factor above the low one", () => {
    expect(read({ rope_scaling: { ...llama3, low_freq_factor: 3.9 } })).toMatchObject({
      lowFrequencyFactor: 3.9,
    });
    expect(refusal({ rope_scaling: { ...llama3, low_freq_factor: 4 } })).toContain(
      '"config.json" > "rope_scaling": "high_freq_factor" is 4; expected more than "low_freq_factor", 4.',
    );
    for (const low of [0, 1e-300]) {
      expect(refusal({ rope_scaling: { ...llama3, low_freq_factor: low } })).toContain(
        `"low_freq_factor": expected at least 0.000001, found ${low}`,
      );
    }
  });
});

describe("YaRN", () => {
  const yarn = { type: "yarn", factor: 4 };

  test("has the paper's betas, and rounds, where the file says nothing; factor may be null", () => {
    const nothing = { attentionFactor: undefined, mscale: undefined, mscaleAllDim: undefined };
    const usual = { type: "yarn", theta: 10_000, betaFast: 32, betaSlow: 1, truncate: true, ...nothing };
    expect(read({ rope_scaling: yarn })).toEqual({ ...usual, factor: 4, originalMaxPositions: undefined });
    expect(read({ rope_scaling: { ...yarn, factor: null, truncate: null, beta_fast: null } })).toEqual({
      ...usual,
      factor: undefined,
      originalMaxPositions: undefined,
    });
  });

  test("may have equal betas, and mscales of 0", () => {
    expect(read({ rope_scaling: { ...yarn, beta_fast: 2, beta_slow: 2 } })).toMatchObject({
      betaFast: 2,
      betaSlow: 2,
    });
    expect(read({ rope_scaling: { ...yarn, mscale: 0, mscale_all_dim: 0 } })).toMatchObject({
      mscale: 0,
      mscaleAllDim: 0,
    });
    expect(refusal({ rope_scaling: { ...yarn, beta_slow: 33 } })).toContain(
      '"beta_fast" is 32; expected at least "beta_slow", 33.',
    );
  });

  test("takes the length before from beside the object where it stands there too", () => {
    const inner = { rope_scaling: { ...yarn, original_max_position_embeddings: 100 } };
    expect(read(inner)).toMatchObject({ originalMaxPositions: 100 });
    expect(read({ ...inner, original_max_position_embeddings: 200 })).toMatchObject({
      originalMaxPositions: 200,
    });
    expect(read({ ...inner, original_max_position_embeddings: null })).toMatchObject({
      originalMaxPositions: undefined,
    });
  });
});

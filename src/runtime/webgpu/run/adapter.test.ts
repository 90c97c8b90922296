import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../../base/errors.ts";
import { isSoftwareName, listingText } from "./adapter-summary.ts";
import { findAdapter, listAdapters, pickAdapter } from "./adapter.ts";
import { openAdapter, parseListing } from "./enumerate.ts";

const H200 = { name: "NVIDIA H200", backend: "vulkan", isSoftware: false };
const RADEON = { name: "AMD Radeon RX 7900 XTX (RADV NAVI31)", backend: "vulkan", isSoftware: false };
const LAVAPIPE = { name: "llvmpipe (LLVM 20.1.2, 256 bits)", backend: "vulkan", isSoftware: true };

function errorOf(pick: () => unknown): ModelComposeError {
  try {
    pick();
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return error;
    }
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("pickAdapter", () => {
  test("without a name: the first that is hardware", () => {
    expect(pickAdapter([LAVAPIPE, H200, RADEON], undefined)).toBe(H200);
  });

  test("by a part of the name, in any case, software too", () => {
    const all = [H200, RADEON, LAVAPIPE];
    expect(pickAdapter(all, "radeon")).toBe(RADEON);
    expect(pickAdapter(all, "h200")).toBe(H200);
    expect(pickAdapter(all, "LLVMpipe")).toBe(LAVAPIPE);
  });

  test("an unknown name: what there is, and the nearest", () => {
    const slip = errorOf(() => pickAdapter([H200, RADEON], "nvidla"));
    expect(slip.code).toBe("invalid-argument");
    expect(slip.message).toBe(
      'No WebGPU adapter has "nvidla" in its name; this machine has "NVIDIA H200" (vulkan), ' +
        '"AMD Radeon RX 7900 XTX (RADV NAVI31)" (vulkan). Did you mean "webgpu:nvidia"?',
    );
    expect(errorOf(() => pickAdapter([H200], "quantum")).message).toMatch(/Name part of one, in any case\.$/);
  });

  test("software alone is not taken unasked: its name, and how to ask", () => {
    const error = errorOf(() => pickAdapter([LAVAPIPE], undefined));
    expect(error.code).toBe("device");
    expect(error.message).toContain('only software: "llvmpipe (LLVM 20.1.2, 256 bits)" (vulkan).');
    expect(error.message).toContain('Use the device "wasm"');
    expect(error.message).toContain('"webgpu:llvmpipe"');
  });

  test("nothing at all", () => {
    for (const name of [undefined, "nvidia"]) {
      const error = errorOf(() => pickAdapter([], name));
      expect(error.code).toBe("device");
      expect(error.message).toMatch(/^There is no WebGPU adapter on this machine.*Use the device "wasm"/);
    }
  });
});

describe("parseListing", () => {
  test("reads Dawn's list; twins count once", () => {
    const line = " * backend: 'vulkan', name: 'NVIDIA H200'";
    const odd = " * backend: 'metal', name: 'Bob's GPU, 2''";
    expect(parseListing(`no suitable backends found\nAvailable adapters:\n${line}\n${line}\n${odd}`)).toEqual(
      [H200, { name: "Bob's GPU, 2'", backend: "metal", isSoftware: false }],
    );
  });

  test("another error is said", () => {
    expect(errorOf(() => parseListing("unrecognised backend 'x'"))).toMatchObject({ code: "device" });
    expect(errorOf(() => parseListing("unrecognised backend 'x'")).message).toContain(
      "unrecognised backend 'x'",
    );
  });
});

test("listingText: a line each", () => {
  const h200 = { ...H200, vendor: "nvidia", architecture: "hopper", description: "NVIDIA: 570.86.10" };
  const lavapipe = { ...LAVAPIPE, vendor: "mesa", architecture: "", description: "" };
  expect(listingText([h200, lavapipe])).toBe(
    "NVIDIA H200 (vulkan; NVIDIA: 570.86.10)\n" +
      "llvmpipe (LLVM 20.1.2, 256 bits) (vulkan; software, for tests)",
  );
  expect(listingText([])).toMatch(/^There is no WebGPU adapter on this machine/);
});

test.each([
  ["SwiftShader Device (Subzero)", true],
  ["llvmpipe (LLVM 20.1.2, 256 bits)", true],
  ["Microsoft Basic Render Driver", true],
  ["Null backend", true],
  ["NVIDIA H200", false],
  ["Apple M1 Max", false],
  ["AMD Radeon PRO WX 3200 Series", false],
  ["Intel(R) UHD Graphics 630", false],
])("%s is software: %s", (name, isSoftware) => {
  expect(isSoftwareName(name)).toBe(isSoftware);
});

// The test set-up lends SwiftShader where Dawn would find it; other machines test on what they have.
describe.runIf(process.env.VK_ICD_FILENAMES?.includes("swiftshader"))("on SwiftShader alone", () => {
  test("the list has it, as software", async () => {
    expect(await listAdapters()).toEqual([
      {
        name: "SwiftShader Device (Subzero)",
        backend: "vulkan",
        vendor: "google",
        architecture: "swiftshader",
        description: expect.stringContaining("SwiftShader") as string,
        isSoftware: true,
      },
    ]);
  });

  test("it is opened when asked for, and only then", async () => {
    const { adapter, summary } = await openAdapter(await findAdapter("swiftshader"), []);
    expect(summary).toMatchObject({ name: "SwiftShader Device (Subzero)", isSoftware: true });
    expect(adapter.features.has("subgroups")).toBe(true);
    await expect(findAdapter(undefined)).rejects.toMatchObject({
      code: "device",
      message: expect.stringContaining('"webgpu:swiftshader"') as string,
    });
    await expect(findAdapter("swiftshadow")).rejects.toMatchObject({
      code: "invalid-argument",
      message: expect.stringContaining('Did you mean "webgpu:swiftshader"?') as string,
    });
  });
});

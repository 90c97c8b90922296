import { describe, expect, test } from "vitest";
import { selectVariants, type ProductSize, type VariantInput, type Variants } from "./select.ts";

/** What every adapter has at least. */
const LEAST = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 16_384 };
const WITH = { subgroups: true, subgroupMinSize: 32, subgroupMaxSize: 32 };
const WITHOUT = { subgroups: false, subgroupMinSize: 0, subgroupMaxSize: 0 };
/** A matrix of SmolLM3-3B. */
const MATRIX = { format: "bf16", columns: 2048, rows: 3072, norm: true } as const;
const select = (input: Partial<VariantInput> = {}) =>
  selectVariants({ features: WITH, limits: LEAST, isSoftware: false, ...input });

/** Variants with the choice for one matrix in the place of the function. */
const plain = ({ gemv, ...rest }: Variants) => ({
  ...rest,
  one: gemv("one", MATRIX),
  few: gemv("few", MATRIX),
});

describe("subgroups", () => {
  test("are used where the adapter has them", () => {
    const { gemv, norm } = select();
    expect([gemv("one", MATRIX).subgroups, gemv("few", MATRIX).subgroups, norm.subgroups]).toEqual([
      true,
      true,
      true,
    ]);
    const without = select({ features: WITHOUT });
    expect([
      without.gemv("one", MATRIX).subgroups,
      without.gemv("few", MATRIX).subgroups,
      without.norm.subgroups,
    ]).toEqual([false, false, false]);
  });

  test("can be forced off, not on", () => {
    expect(select({ forced: { subgroups: false } }).gemv("one", MATRIX).subgroups).toBe(false);
    expect(select({ features: WITHOUT, forced: { subgroups: true } }).gemv("one", MATRIX).subgroups).toBe(
      false,
    );
  });
});

describe("workgroups", () => {
  test("are small on software adapters, in the tests of hardware's sizes as on hardware", () => {
    const [hardware, software] = [select(), select({ isSoftware: true })];
    expect(software.gemv("one", MATRIX).workgroup).toBeLessThan(hardware.gemv("one", MATRIX).workgroup);
    expect(software.norm.workgroup).toBeLessThan(hardware.norm.workgroup);
    expect(plain(select({ isSoftware: true, forced: { kind: "hardware" } }))).toEqual(plain(hardware));
    expect(plain(select({ forced: { kind: "software" } }))).toEqual(plain(software));
  });

  test.each([true, false])("keep to every adapter's limits (subgroups: %s)", (subgroups) => {
    for (const isSoftware of [true, false]) {
      for (const invocations of [64, 128, 256, 1024]) {
        for (const memory of [4096, 16_384, 65_536]) {
          const limits = {
            maxComputeInvocationsPerWorkgroup: invocations,
            maxComputeWorkgroupStorageSize: memory,
          };
          const { gemv, norm } = select({ features: subgroups ? WITH : WITHOUT, limits, isSoftware });
          expect(norm.workgroup).toBeLessThanOrEqual(invocations);
          for (const { workgroup, outputs, tile } of [gemv("one", MATRIX), gemv("few", MATRIX)]) {
            expect(workgroup).toBeLessThanOrEqual(invocations);
            expect(workgroup, "a power of two").toBe(2 ** Math.round(Math.log2(workgroup)));
            expect(outputs % 2).toBe(0);
            // Every invocation keeps sums of the products and of squares, f32.
            if (!subgroups) {
              expect((outputs + 1) * tile * workgroup * 4).toBeLessThanOrEqual(memory);
            }
          }
        }
      }
    }
  });
});

describe("attention of few rows", () => {
  test("has subgroups of any size that the adapter may have, or none", () => {
    const features = { subgroups: true, subgroupMinSize: 8, subgroupMaxSize: 64 };
    expect(select({ features }).attention.subgroups).toEqual({ least: 8, most: 64 });
    expect(select({ features, forced: { subgroups: false } }).attention.subgroups).toBeUndefined();
    expect(select({ features: WITHOUT }).attention.subgroups).toBeUndefined();
  });

  test("is sized for the kind of adapter; parts of it can be forced", () => {
    const [hardware, software] = [select(), select({ isSoftware: true })];
    expect(software.attention.direct.workgroup).toBeLessThan(hardware.attention.direct.workgroup);
    // The kernel without subgroups has its own sizes, whatever the adapter.
    expect(select({ isSoftware: true, features: WITHOUT }).attention).toEqual(
      select({ features: WITHOUT }).attention,
    );
    expect(select({ forced: { attention: { mostSplits: 7 } } }).attention).toEqual({
      ...hardware.attention,
      mostSplits: 7,
    });
  });

  test("has the workgroup memory of the adapter, and no larger workgroups than it", () => {
    const limits = { maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupStorageSize: 32_768 };
    const { attention } = select({ limits });
    expect(attention.workgroupMemory).toBe(32_768);
    for (const features of [WITH, WITHOUT]) {
      for (const isSoftware of [true, false]) {
        const { direct, split } = select({ features, isSoftware }).attention;
        expect(Math.max(direct.workgroup, split.workgroup)).toBeLessThanOrEqual(
          LEAST.maxComputeInvocationsPerWorkgroup,
        );
      }
    }
  });
});

test("one row has the tile of one, a few share the weights", () => {
  const { gemv } = select();
  const [one, few] = [gemv("one", MATRIX), gemv("few", MATRIX)];
  expect(one.tile).toBe(1);
  expect(few.tile).toBeGreaterThan(1);
});

describe("products on hardware", () => {
  const { gemv } = select();
  const one = (product: Partial<ProductSize>) => gemv("one", { ...MATRIX, norm: false, ...product });

  test("by what was measured: rows of the weight, their length, whether a norm is folded in", () => {
    expect(one({ norm: true })).toMatchObject({ workgroup: 128, outputs: 2, unroll: 1 });
    expect(one({})).toMatchObject({ workgroup: 64, outputs: 2, unroll: 4 });
    expect(one({ columns: 8191 })).toMatchObject({ workgroup: 64 });
    expect(one({ columns: 8192 })).toMatchObject({ workgroup: 128, outputs: 2, unroll: 4 });
    expect(one({ rows: 8191 })).toMatchObject({ workgroup: 64 });
    expect(one({ rows: 8192, norm: true })).toMatchObject({ workgroup: 32, outputs: 2, unroll: 4 });
    expect(one({ rows: 32767 })).toMatchObject({ workgroup: 32 });
    expect(one({ rows: 32768 })).toMatchObject({ workgroup: 64, outputs: 2, unroll: 2 });
    expect(one({ format: "int4", rows: 32768 })).toMatchObject({ workgroup: 128, outputs: 4 });
  });

  test("a few rows have the lanes of one", () => {
    for (const product of [
      {},
      { norm: true },
      { columns: 8192 },
      { rows: 8192 },
      { rows: 32768 },
      { format: "int8" as const },
    ]) {
      const few = gemv("few", { ...MATRIX, norm: false, ...product });
      expect(few.workgroup).toBe(one(product).workgroup);
      expect(few.tile).toBeGreaterThan(1);
      // Each invocation writes a result.
      expect(few.outputs * few.tile).toBeLessThanOrEqual(few.workgroup);
    }
  });

  test("the rule where an adapter has no such workgroups, no subgroups, or is a program", () => {
    const long = { ...MATRIX, norm: false, columns: 11008 };
    const limits = { ...LEAST, maxComputeInvocationsPerWorkgroup: 64 };
    expect(select({ limits }).gemv("one", long)).toMatchObject({ workgroup: 64, outputs: 4 });
    expect(select({ forced: { subgroups: false } }).gemv("one", long)).toMatchObject({ outputs: 4 });
    expect(select({ isSoftware: true }).gemv("one", long)).toMatchObject({ workgroup: 16, outputs: 4 });
  });
});

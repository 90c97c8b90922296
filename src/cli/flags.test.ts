import { InvalidArgumentError } from "commander";
import { describe, expect, test } from "vitest";
import { bytesFlag, countFlag, deviceOptions } from "./flags.ts";

test("a count is an integer from 1 on", () => {
  expect(countFlag("1")).toBe(1);
  for (const text of ["0", "-1", "1.5", "ten", ""]) {
    expect(() => countFlag(text)).toThrow(InvalidArgumentError);
  }
});

describe("bytesFlag", () => {
  test.each([
    ["800000000", 8e8],
    ["8GB", 8e9],
    ["8 gb", 8e9],
    ["1.5GiB", 1.5 * 2 ** 30],
    [".5MB", 5e5],
    ["3TiB", 3 * 2 ** 40],
    ["1kB", 1000],
    ["1B", 1],
  ])("%s", (text, bytes) => {
    expect(bytesFlag(text)).toBe(bytes);
  });

  test.each([
    "",
    "GB",
    "8G",
    "0",
    "0.1B",
    "-1GB",
    "8 GB GB",
    "1e9",
    "8GBit",
    "9999999TB",
    "toString",
    "1toString",
  ])("%j is no amount", (text) => {
    expect(() => bytesFlag(text)).toThrow(InvalidArgumentError);
  });
});

describe("deviceOptions", () => {
  test.each([
    ["cpu", "wasm"],
    ["gpu", "webgpu"],
    ["cuda:0", "webgpu"],
    ["webgpu:h200", "webgpu:h200"],
  ])("the device %s", (device, expected) => {
    expect(deviceOptions({ device }).device).toBe(expected);
  });

  test.each(["tpu", "webgpu:", "webgpu: "])("there is no device %j", (device) => {
    expect(() => deviceOptions({ device })).toThrow(
      /is unknown\. Devices: auto, .*webgpu:\? lists the names/,
    );
  });
});

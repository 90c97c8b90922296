import { describe, expect, test } from "vitest";
import { TransferMeter } from "./transfer-meter.ts";

describe("the line about a transfer", () => {
  test("has bytes at once, and rate and time left when there is something to measure", () => {
    const meter = new TransferMeter();
    const total = 6e9;
    expect(meter.text("Fetching the model", { done: 1e9, total }, 0)).toBe(
      "Fetching the model: 1.00 GB of 6.00 GB (16 %)",
    );
    // Nothing has come yet: the time that this took says nothing about the rest.
    meter.text("Fetching the model", { done: 1e9, total }, 60_000);
    expect(meter.text("Fetching the model", { done: 1.01e9, total }, 60_500)).toBe(
      "Fetching the model: 1.01 GB of 6.00 GB (16 %)",
    );
    expect(meter.text("Fetching the model", { done: 1.1e9, total }, 62_000)).toBe(
      "Fetching the model: 1.10 GB of 6.00 GB (18 %), 50.0 MB/s, 1 min 38 s left",
    );
  });

  test("follows a change within seconds, and says when nothing comes", () => {
    const meter = new TransferMeter();
    for (let second = 0; second <= 30; second++) {
      meter.text("Fetching the model", { done: second * 1e8, total: 1e12 }, second * 1000);
    }
    expect(meter.text("Fetching the model", { done: 31e8, total: 1e12 }, 31_000)).toMatch(
      /100\.0 MB\/s, 2 h 46 min left$/,
    );
    let line = "";
    for (let second = 32; second <= 60; second++) {
      line = meter.text("Fetching the model", { done: 31e8, total: 1e12 }, second * 1000);
    }
    expect(line).toMatch(/, 0\.0 MB\/s$/);
  });

  test("begins anew with another transfer, or when bytes were discarded", () => {
    const meter = new TransferMeter();
    meter.text("Fetching the model", { done: 0, total: 1e9 }, 0);
    expect(meter.text("Fetching the model", { done: 5e8, total: 1e9 }, 5000)).toMatch(
      /100\.0 MB\/s, 5 s left$/,
    );
    expect(meter.text("Fetching the model", { done: 1e8, total: 1e9 }, 6000)).not.toContain("MB/s");
    meter.text("Fetching the model", { done: 2e8, total: 1e9 }, 7000);
    expect(meter.text("Fetching the model", { done: 3e8, total: 2e9 }, 9000)).not.toContain("MB/s");
  });
});

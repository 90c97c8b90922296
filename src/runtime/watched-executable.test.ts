/** Tests of giving up a device that hangs, on a clock of their own. */
import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../base/errors.ts";
import { greedyRequest, passOf } from "../../test/support/golden.ts";
import { HashedExecutable } from "../../test/support/hashed-executable.ts";
import type { DecodeProfile, DecodeRequest, Pass, PassResult } from "./backend.ts";
import { WatchedExecutable, type WatchClock } from "./watched-executable.ts";

/** A device whose calls end when the test says so. */
class Held extends HashedExecutable {
  readonly held: { pass?: Pass; request?: DecodeRequest; end: () => void }[] = [];
  readonly loss = Promise.withResolvers<never>();
  override readonly lost = this.loss.promise;
  disposed = 0;

  constructor() {
    super({ vocabSize: 8, slots: 1, contextLength: 64, maxRows: 64 });
  }

  override run(pass: Pass): Promise<PassResult> {
    const { promise, resolve } = Promise.withResolvers<PassResult>();
    const end = (): void => resolve({ logits: new Float32Array(0), activations: new Map(), seconds: 0 });
    this.held.push({ pass, end });
    return promise;
  }

  override decode(request: DecodeRequest): Promise<DecodeProfile> {
    const { promise, resolve } = Promise.withResolvers<DecodeProfile>();
    this.held.push({ request, end: () => resolve({ wallSeconds: 0, kernelSeconds: 0 }) });
    return promise;
  }

  override dispose(): Promise<void> {
    this.disposed += 1;
    return Promise.resolve();
  }
}

function watched(): {
  device: Held;
  executable: WatchedExecutable;
  pass: (seconds: number) => void;
  clocks: () => number;
} {
  let now = 0;
  const callbacks = new Set<() => void>();
  const clock: WatchClock = {
    now: () => now * 1000,
    every(_milliseconds, callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
  };
  const device = new Held();
  const executable = new WatchedExecutable(device, 10, clock);
  const pass = (seconds: number): void => {
    now += seconds;
    for (const callback of callbacks) {
      callback();
    }
  };
  return { device, executable, pass, clocks: () => callbacks.size };
}

const hung = { code: "device", message: expect.stringContaining("no progress for 10 s") as string };

describe("a device that hangs", () => {
  test("is given up: its calls reject, it is disposed of, and it is lost", async () => {
    const { device, executable, pass } = watched();
    const call = executable.run(passOf([1]));
    pass(9.9);
    pass(0.2);
    await expect(call).rejects.toMatchObject(hung);
    expect(await executable.lost).toMatchObject(hung);
    expect(device.disposed).toBe(1);
  });

  test("is not one whose pass comes further, however slowly", async () => {
    const { device, executable, pass } = watched();
    const reports: number[] = [];
    const call = executable.run({
      ...passOf(Array<number>(32).fill(1)),
      onProgress: (done) => reports.push(done),
    });
    for (const fraction of [0.1, 0.2, 0.3]) {
      pass(9);
      device.held[0].pass?.onProgress?.(fraction);
    }
    device.held[0].end();
    await call;
    expect(reports).toEqual([0.1, 0.2, 0.3]);
  });

  test("is one whose reports stay the same", async () => {
    const { device, executable, pass } = watched();
    const call = executable.run(passOf(Array<number>(32).fill(1)));
    for (let i = 0; i < 4; i++) {
      device.held[0].pass?.onProgress?.(0.5);
      pass(4);
    }
    await expect(call).rejects.toMatchObject(hung);
  });

  test("is not one that writes a token now and then, nor one that waits behind it", async () => {
    const { device, executable, pass } = watched();
    const tokens: number[] = [];
    const decode = executable.decode(greedyRequest([1], 4, (token) => tokens.push(token) > 0));
    const other = executable.run(passOf([1]));
    for (let i = 0; i < 4; i++) {
      pass(8);
      device.held[0].request?.onToken(i);
    }
    device.held.forEach(({ end }) => end());
    await Promise.all([decode, other]);
    expect(tokens).toEqual([0, 1, 2, 3]);
  });

  test("is watched only while it works", async () => {
    const { device, executable, pass, clocks } = watched();
    expect(clocks()).toBe(0);
    pass(100);
    const call = executable.run(passOf([1]));
    expect(clocks()).toBe(1);
    pass(5);
    device.held[0].end();
    await call;
    expect(clocks()).toBe(0);
  });
});

test("a device that is lost by itself is lost here", async () => {
  const { device, executable } = watched();
  const error = new ModelComposeError("device", "gone", { remedy: "x" });
  device.loss.resolve(error as never);
  expect(await executable.lost).toBe(error);
});

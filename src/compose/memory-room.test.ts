/** Models that share a budget, with loads that tell what they need and take their time. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import type { SizedLoadOptions } from "../models/context-sizing.ts";
import type { ModelComponent } from "./definition/definition.ts";
import { MemoryRoom } from "./memory-room.ts";
import { ModelHost, type TextModel } from "./model-host.ts";

const CAPACITY = 10;

/** Components of models m0, m1, … */
function components(...keys: string[]): ModelComponent[] {
  const lines = keys.map(
    (key, i) =>
      `  - { id: c${i}, type: model, task: text-generation, model: m${i}, prompt: "\${input}"${key} }`,
  );
  const { components: found } = loadText(`components:\n${lines.join("\n")}\nworkflow: { component: c0 }\n`);
  return found.filter((component) => component.type === "model");
}

/** Loads of models of given sizes, which fail the test where they take more than there is. */
class Memory {
  readonly #sizes: readonly number[];
  readonly #budget: number;
  /** What is in memory, by names of models, with who uses it. */
  readonly there = new Map<string, number>();
  readonly notices: string[] = [];
  readonly loads: string[] = [];
  readonly host: ModelHost;
  /** How long a load takes. */
  pace: () => Promise<void> = () => Promise.resolve();
  /** What was beyond the budget, or went while it was used. */
  readonly faults: string[] = [];
  /** What loads take beyond their need, of what they are given. */
  greed = 0;

  constructor(sizes: readonly number[], budget = CAPACITY) {
    this.#sizes = sizes;
    this.#budget = budget;
    const hooks = { onNotice: (line: string) => void this.notices.push(line) };
    this.host = new ModelHost(this.load, hooks, {}, new MemoryRoom(budget, () => Infinity));
  }

  get taken(): number {
    return [...this.there.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  readonly users = new Map<string, number>();

  readonly load = async (source: string, options: SizedLoadOptions): Promise<TextModel> => {
    const { room, signal } = options;
    const name = source.slice(source.lastIndexOf("/") + 1);
    const need = this.#sizes[Number(name.slice(1))] ?? 0;
    await this.pace();
    const given = (await room?.reserve({ bytes: need, machineBytes: 0 }, signal)) ?? Infinity;
    const bytes = need + Math.floor(this.greed * Math.max(0, given - need));
    this.loads.push(name);
    this.there.set(name, (this.there.get(name) ?? 0) + bytes);
    if (this.taken > this.#budget) {
      this.faults.push(`${[...this.there.keys()].join(" and ")} take ${this.taken} of ${this.#budget}`);
    }
    await this.pace();
    return {
      memory: { weightBytes: bytes, kvCacheBytes: 0, workBytes: 0 },
      lost: new Promise(() => undefined),
      dispose: async () => {
        if ((this.users.get(name) ?? 0) > 0) {
          this.faults.push(`${name} went while it was used`);
        }
        await this.pace();
        this.there.delete(name);
      },
    } as unknown as TextModel;
  };

  /** Uses the model of a component for some time. */
  use(component: ModelComponent, work: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    const { name } = component.model;
    return this.host.use(component, { signal }, async () => {
      this.users.set(name, (this.users.get(name) ?? 0) + 1);
      if (!this.there.has(name)) {
        this.faults.push(`${name} is used and is not there`);
      }
      await work();
      this.users.set(name, (this.users.get(name) ?? 1) - 1);
    });
  }
}

const nothing = (): Promise<void> => Promise.resolve();
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("an idle model goes where the budget does not hold both, and is loaded again when it is called", async () => {
  const memory = new Memory([6, 6, 4]);
  const [a, b, c] = components("", "", "");
  await memory.use(a, nothing);
  await memory.use(c, nothing);
  expect([...memory.there.keys()]).toEqual(["m0", "m2"]);
  expect(memory.host.memory).toEqual({ held: 10, budget: CAPACITY });
  await memory.use(b, nothing);
  expect([...memory.there.keys()]).toEqual(["m2", "m1"]);
  expect(memory.host.stateOf(a)).toBeUndefined();
  await memory.use(a, nothing);
  expect([...memory.there.keys()]).toEqual(["m2", "m0"]);
  expect(memory.notices).toEqual([
    expect.stringMatching(/m0 was unloaded: its memory is needed/),
    "The model m0 is being loaded again, for c0.",
    expect.stringMatching(/m1 was unloaded: its memory is needed/),
  ]);
  await memory.host.dispose();
  expect([memory.faults, memory.host.memory.held]).toEqual([[], 0]);
});

test("a model in use is waited for, which is told; who comes for it then waits until the other had its turn", async () => {
  const memory = new Memory([6, 6]);
  const [a, b] = components("", "");
  const work = Promise.withResolvers<void>();
  const order: string[] = [];
  const first = memory.use(a, () => work.promise);
  await settled();
  const stages: string[] = [];
  const other = memory.host.use(b, { onProgress: ({ stage }) => stages.push(stage) }, async () => {
    order.push("b");
    await settled();
  });
  await settled();
  expect(memory.host.loading).toEqual([
    { component: "c1", progress: { stage: "memory", done: 0, total: 1 } },
  ]);
  const again = memory.use(a, () => Promise.resolve(void order.push("a")));
  const gone = new AbortController();
  const left = memory.use(a, nothing, gone.signal);
  await settled();
  gone.abort();
  await expect(left).rejects.toMatchObject({ code: "aborted" });
  expect(order).toEqual([]);
  work.resolve();
  await Promise.all([first, other, again]);
  expect([order, stages, memory.loads]).toEqual([["b", "a"], ["memory"], ["m0", "m1", "m0"]]);
  expect(memory.notices[0]).toBe("The model m1 waits for memory until the runs on m0 have ended.");
  expect(memory.faults).toEqual([]);
});

test("who gives up waiting for memory leaves the model in use to those who come for it", async () => {
  const memory = new Memory([6, 6]);
  const [a, b] = components("", "");
  const work = Promise.withResolvers<void>();
  const first = memory.use(a, () => work.promise);
  await settled();
  const stop = new AbortController();
  const other = memory.use(b, nothing, stop.signal);
  await settled();
  const beside = memory.use(a, nothing);
  stop.abort();
  await expect(other).rejects.toMatchObject({ code: "aborted" });
  await beside;
  work.resolve();
  await first;
  expect(memory.loads).toEqual(["m0"]);
});

test("what was seen to fit beside another leaves it its room, and takes what is left for more sequences", async () => {
  const memory = new Memory([5, 4]);
  memory.greed = 1;
  const [a, b] = components("", "");
  for (let i = 0; i < 3; i++) {
    await memory.use(a, nothing);
    await memory.use(b, nothing);
  }
  // The first had all of the budget, before anybody knew of the second.
  expect(memory.loads).toEqual(["m0", "m1", "m0"]);
  expect(memory.there).toEqual(
    new Map([
      ["m1", 5],
      ["m0", 5],
    ]),
  );
  expect(memory.faults).toEqual([]);
});

test("a load that is not to make room says why, and a run that came for it makes room", async () => {
  const memory = new Memory([6, 6]);
  const [a, b] = components("", "");
  await memory.host.model(a);
  await expect(memory.host.model(b, { mayUnload: false })).rejects.toThrow(
    "The model m1 has no room beside those that are loaded: it needs 6 bytes of the memory budget of 10 bytes; " +
      "m0 (6 bytes) is held.",
  );
  const modest = memory.host.model(b, { mayUnload: false });
  const run = memory.use(b, nothing);
  await expect(modest).rejects.toThrow("no room");
  await run;
  expect(memory.loads).toEqual(["m0", "m1"]);
});

describe("any runs of any models", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test("never take more than the budget, lose no model in use, and all end", async () => {
    for (let seed = 1; seed <= 25; seed++) {
      const random = numbers(seed);
      const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, random(4)));
      const sizes = Array.from({ length: 5 }, () => 1 + random(CAPACITY));
      const memory = new Memory(sizes);
      memory.pace = pause;
      memory.greed = random(2);
      const found = components(
        ...sizes.map(() => `, on_demand: { priority: ${random(3)}, idle_timeout: 20ms }`),
      );
      let ended = 0;
      const runs = Array.from({ length: 40 }, async () => {
        await new Promise((resolve) => setTimeout(resolve, random(60)));
        const left = new AbortController();
        if (random(5) === 0) {
          setTimeout(() => left.abort(), random(20));
        }
        const component = found[random(found.length)];
        await memory.use(component, pause, left.signal).catch((error: unknown) => {
          expect(error).toMatchObject({ code: "aborted" });
        });
        ended += 1;
      });
      await vi.advanceTimersByTimeAsync(5000);
      expect([seed, ended, memory.faults]).toEqual([seed, runs.length, []]);
      // All went when nobody used them any more.
      expect([memory.host.memory.held, memory.taken]).toEqual([0, 0]);
    }
  });
});

/** Integers below a bound, the same for the same seed. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

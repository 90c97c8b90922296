/**
 * Decodes that run side by side on the CPU, in numbers: whoever comes and goes, and whatever is drafted, each has the tokens that it
 * has alone.
 */
import { expect, test } from "vitest";
import { GREEDY } from "../bench/harness/workload.ts";
import type { DecodeRequest, Executable } from "../src/runtime/backend.ts";
import { greedyRequest, loadGolden, openGolden } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";
import { sequenceRules } from "./support/rules.ts";

const SLOTS = 70; // more than one pass has rows for
const CONTEXT = 128; // whole blocks: a row behind its end would be another sequence's

/** A sequence, and how many tokens another one has when it begins. */
interface Planned {
  prompt: number[];
  change: Partial<DecodeRequest>;
  /** The number of tokens after which the decode is left; more than its count: never. */
  leaveAfter: number;
  startAfter: number;
}

function plan(random: () => number): Planned {
  const integer = (below: number): number => Math.floor(random() * below);
  const isDrawn = random() < 0.4;
  const isPenalised = random() < 0.4;
  const isFull = random() < 0.3;
  const length = [1, 2, 5, 20, 60][integer(5)];
  return {
    // Few different tokens, so that what comes has often come before.
    prompt: Array.from({ length }, () => integer(4)),
    change: {
      count: isFull ? CONTEXT - length + 1 : 1 + integer(CONTEXT - length),
      sampling: {
        ...GREEDY,
        ...(isDrawn ? { doSample: true, temperature: 1.5, topK: integer(2) * 40, seed: integer(1000) } : {}),
        ...(isPenalised ? { repetitionPenalty: 1.05 } : {}),
      },
      // What counts the tokens that were drafted, too.
      ...(random() < 0.3 && {
        rules: sequenceRules({ noRepeatNgramSize: 3 + integer(3) }),
        minNewTokens: integer(30),
      }),
      eosTokenIds: random() < 0.3 ? [integer(512), integer(512), integer(512)] : [],
    },
    leaveAfter: random() < 0.2 ? 1 + integer(20) : Infinity,
    startAfter: integer(12),
  };
}

async function decode(
  executable: Executable,
  slot: number,
  { prompt, change, leaveAfter }: Planned,
  onToken: (count: number) => void = () => undefined,
): Promise<number[]> {
  const found: number[] = [];
  const take = (token: number): boolean => {
    found.push(token);
    onToken(found.length);
    return found.length < leaveAfter;
  };
  await executable.decode({ ...greedyRequest(prompt, 1, take, { slot }), ...change });
  return found;
}

test.each([
  ["smollm3-bf16", "none", 1, undefined],
  ["smollm3-bf16", "int4", 2, 3],
  ["gpt2", "none", 3, 2],
] as const)("%s, quantization %s, threads %i, drafts %s", async (name, quantization, threads, drafts) => {
  const random = randomSource(threads);
  const golden = await openGolden(name);
  const sequences = Array.from({ length: SLOTS }, () => plan(random));
  const executable = await loadGolden(
    golden,
    { threads, drafts },
    { contextLength: CONTEXT, slots: SLOTS, quantization },
  );
  try {
    const alone: number[][] = [];
    for (const sequence of sequences) {
      const change = { ...sequence.change, promptLookup: false };
      alone.push(await decode(executable, 0, { ...sequence, change }));
    }
    // Each begins when the one before has had some tokens; one that ended earlier brings the next at its end.
    const running: Promise<number[]>[] = [];
    let most = 0;
    let active = 0;
    const start = (slot: number): void => {
      let hasFollower = slot + 1 === SLOTS;
      const follow = (): void => {
        if (!hasFollower) {
          hasFollower = true;
          start(slot + 1);
        }
      };
      const { startAfter } = sequences[slot];
      most = Math.max(most, ++active);
      const found = decode(executable, slot, sequences[slot], (count) => {
        if (count >= startAfter) {
          follow();
        }
      });
      running[slot] = found.finally(() => {
        active--;
        follow();
      });
    };
    start(0);
    for (let slot = 0; slot < SLOTS; slot++) {
      expect(await running[slot], `sequence ${slot}`).toEqual(alone[slot]);
    }
    expect(most).toBeGreaterThan(4);
  } finally {
    await executable.dispose();
  }
});

test("drafts that are right save passes, also those from what was written; without them each token takes one", async () => {
  const golden = await openGolden("smollm3-bf16");
  const executable = await loadGolden(golden, { threads: 2, drafts: 3 }, { contextLength: CONTEXT });
  try {
    const passes = async (change: Partial<DecodeRequest>): Promise<number | undefined> => {
      // The text of this model repeats itself, and its prompt has nothing of it.
      const request = greedyRequest([7], 100, () => true);
      return (await executable.decode({ ...request, ...change })).passes;
    };
    expect(await passes({ promptLookup: false })).toBe(99);
    expect(await passes({})).toBeLessThan(90);
  } finally {
    await executable.dispose();
  }
});

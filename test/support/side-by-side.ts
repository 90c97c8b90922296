/** Decodes that run side by side: whoever comes and goes, each has the tokens that it has alone. */
import { expect } from "vitest";
import { GREEDY } from "../../bench/harness/workload.ts";
import type { DecodeRequest, Executable } from "../../src/runtime/backend.ts";
import type { Quantization } from "../../src/runtime/held-formats.ts";
import { greedyRequest, loadGolden, openGolden } from "./golden.ts";
import { randomSource } from "./numbers.ts";
import { sequenceRules } from "./rules.ts";

/** A sequence, and how many tokens another one has when it begins. */
export interface Planned {
  prompt: number[];
  change: Partial<DecodeRequest>;
  /** The number of tokens after which the decode is left; more than its count: never. */
  leaveAfter: number;
  startAfter: number;
}

/** @param context number of positions of a slot
 * @param hasRules whether some sequences have token rules */
export function planSequence(
  random: () => number,
  { context, hasRules }: { context: number; hasRules: boolean },
): Planned {
  const integer = (below: number): number => Math.floor(random() * below);
  const isDrawn = random() < 0.4;
  const isPenalised = random() < 0.4;
  const isFull = random() < 0.3;
  const lengths = [1, 2, 5, 20, 60].filter((each) => each < context);
  const length = lengths[integer(lengths.length)];
  return {
    // Few different tokens, so that what comes has often come before.
    prompt: Array.from({ length }, () => integer(4)),
    change: {
      count: isFull ? context - length + 1 : 1 + integer(context - length),
      sampling: {
        ...GREEDY,
        ...(isDrawn ? { doSample: true, temperature: 1.5, topK: integer(2) * 40, seed: integer(1000) } : {}),
        ...(isPenalised ? { repetitionPenalty: 1.05 } : {}),
      },
      // What counts the tokens that were drafted, too.
      ...(hasRules &&
        random() < 0.3 && {
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

/**
 * Checks that sequences, a slot each, have the tokens together that they have alone, and that some of them did go on at once.
 * Each begins when the one before has had some tokens; one that ended earlier brings the next at its end.
 */
export async function expectSameSideBySide(
  executable: Executable,
  sequences: readonly Planned[],
): Promise<void> {
  const alone: number[][] = [];
  for (const sequence of sequences) {
    const change = { ...sequence.change, promptLookup: false };
    alone.push(await decode(executable, 0, { ...sequence, change }));
  }
  const running: Promise<number[]>[] = [];
  let most = 0;
  let active = 0;
  const start = (slot: number): void => {
    let hasFollower = slot + 1 === sequences.length;
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
  for (const slot of sequences.keys()) {
    expect(await running[slot], `sequence ${slot}`).toEqual(alone[slot]);
  }
  expect(most).toBeGreaterThan(4);
}

/** Length of the context on the CPU: whole blocks, so that a row behind its end would be another sequence's. */
export const CONTEXT = 128;

/** Checks a golden model on the CPU with so many random sequences side by side. */
export async function expectSameOnCpu(
  name: string,
  {
    quantization,
    threads,
    drafts,
    sequences,
  }: { quantization: Quantization; threads: number; drafts?: number; sequences: number },
): Promise<void> {
  const random = randomSource(threads);
  const golden = await openGolden(name);
  const planned = Array.from({ length: sequences }, () =>
    planSequence(random, { context: CONTEXT, hasRules: true }),
  );
  const executable = await loadGolden(
    golden,
    { threads, drafts },
    { contextLength: CONTEXT, slots: sequences, quantization },
  );
  try {
    await expectSameSideBySide(executable, planned);
  } finally {
    await executable.dispose();
  }
}

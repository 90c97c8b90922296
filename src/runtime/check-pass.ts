/** Refuses passes that a device must not see: a wrong index there would be a wrong address. */
import type { DecodeRequest, Pass } from "./backend.ts";
import { ModelComposeError } from "../base/errors.ts";
import { ENCODE, FORWARD, type Program } from "./program.ts";

/** What an executable was made for. */
export interface PassLimits {
  program: Program;
  maxRows: number;
  slots: number;
  contextLength: number;
}

/**
 * Checks a pass against what the executable was made for.
 *
 * @throws ModelComposeError "invalid-argument" that names the row, what was expected and what was found
 */
export function checkPass(pass: Pass, limits: PassLimits): void {
  const { entry = FORWARD, tokens, slots, positions, logitRows = [] } = pass;
  const { program, maxRows, contextLength } = limits;
  const { vocabSize, entries } = program;
  if (!entries.has(entry)) {
    throw refused(`there is no entry "${entry}"; expected one of ${[...entries.keys()].join(", ")}`);
  }
  if (tokens.length === 0 || tokens.length > maxRows) {
    throw refused(`it has ${tokens.length} rows; expected 1 to ${maxRows}`);
  }
  if (slots.length !== tokens.length || positions.length !== tokens.length) {
    throw refused(
      `it has ${tokens.length} tokens, ${slots.length} slots and ${positions.length} positions; expected as many of each`,
    );
  }
  tokens.forEach((token, r) => {
    if (!(token >= 0 && token < vocabSize)) {
      throw refused(`token id ${token} (row ${r}) is not in the vocabulary of ${vocabSize}`);
    }
    if (!(positions[r] >= 0 && positions[r] < contextLength)) {
      throw refused(`position ${positions[r]} (row ${r}) is not in the context of ${contextLength}`);
    }
    checkSlot(slots[r], limits.slots);
  });
  checkSource(pass, limits);
  for (const row of logitRows) {
    if (!(row >= 0 && row < tokens.length)) {
      throw refused(`the logits of row ${row} were asked for; expected rows from 0 to ${tokens.length - 1}`);
    }
  }
}

function checkSource(pass: Pass, { program, contextLength }: PassLimits): void {
  const { entry = FORWARD, tokens, slots, positions, logitRows = [], sourceLength } = pass;
  if (program.architecture === "causal") {
    if (sourceLength !== undefined) {
      throw refused("it has a sourceLength; the model has no encoder");
    }
    return;
  }
  const expected = entry === ENCODE ? "the number of its rows" : `1 to ${contextLength}`;
  const isRight =
    sourceLength !== undefined &&
    (entry === ENCODE ? sourceLength === tokens.length : sourceLength >= 1 && sourceLength <= contextLength);
  if (!isRight) {
    throw refused(`its sourceLength is ${String(sourceLength)}; expected ${expected}`);
  }
  if (entry !== ENCODE) {
    return;
  }
  if (slots.some((slot) => slot !== 0) || positions.some((position, r) => position !== r)) {
    throw refused("it encodes; expected slot 0 and positions from 0 on");
  }
  if (logitRows.length > 0) {
    throw refused("it encodes, which makes no logits");
  }
}

/**
 * Checks a decode: the pass that it begins with, and room in the context for the tokens that it chooses.
 *
 * @param canChoose what the executable says of the request
 */
export function checkDecode(request: DecodeRequest, limits: PassLimits, canChoose: boolean): void {
  if (!canChoose) {
    throw new ModelComposeError(
      "unsupported",
      "A decode was refused: the device does not know its token rules.",
      {
        remedy: "Ask canChoose() first, and choose tokens from the logits of passes where it says no.",
      },
    );
  }
  const { tokens, slot, position, count, sourceLength } = request;
  checkPass(
    {
      tokens,
      slots: new Int32Array(tokens.length).fill(slot),
      positions: Int32Array.from(tokens, (_, r) => position + r),
      sourceLength,
    },
    limits,
  );
  const most = limits.contextLength - position - tokens.length + 1;
  if (Number.isInteger(count) && count >= 1 && count <= most) {
    return;
  }
  throw new ModelComposeError(
    "invalid-argument",
    `A decode of ${count} tokens after position ${position + tokens.length - 1} was refused; expected 1 to ${most} ` +
      `in a context of ${limits.contextLength}.`,
  );
}

/**
 * Checks the number of a slot.
 *
 * @param slots how many there are
 * @throws ModelComposeError "invalid-argument" for a slot that there is not
 */
export function checkSlot(slot: number, slots: number): void {
  if (Number.isInteger(slot) && slot >= 0 && slot < slots) {
    return;
  }
  throw new ModelComposeError("invalid-argument", `There is no slot ${slot}; expected 0 to ${slots - 1}.`);
}

function refused(problem: string): ModelComposeError {
  return new ModelComposeError("invalid-argument", `A pass was refused: ${problem}.`);
}

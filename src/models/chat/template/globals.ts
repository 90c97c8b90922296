/** The functions that every template may call: Jinja's, and those that transformers adds. */
import { bind } from "./arguments.ts";
import { spendItems } from "./limits.ts";
import { str } from "./print.ts";
import { cycler, joiner } from "./sequence-filters.ts";
import { strftime } from "./strftime.ts";
import {
  functionOf,
  integerOf,
  isSequence,
  iterate,
  listOf,
  Mapping,
  nameOf,
  textOf,
  UNDEFINED,
  type Arguments,
  type Value,
} from "./values.ts";

/** The error that a template throws by `raise_exception`. */
export class RaisedError extends Error {}

/** Most items of a range, as in Jinja's sandbox. */
const LONGEST_RANGE = 100_000;

/** The functions by name. @param now the time that `strftime_now` tells */
export function globalsAt(now: Date): ReadonlyMap<string, Value> {
  return new Map<string, Value>([
    ["cycler", functionOf(cycler)],
    ["dict", functionOf(toMapping)],
    ["joiner", functionOf(joiner)],
    ["namespace", functionOf((args) => ({ kind: "namespace", fields: fieldsOf(toMapping(args)) }))],
    ["range", functionOf(range)],
    [
      "raise_exception",
      functionOf((args) => {
        throw new RaisedError(str(bind("raise_exception", args, ["message"]).get("message") ?? UNDEFINED));
      }),
    ],
    [
      "strftime_now",
      functionOf((args) =>
        textOf(strftime(now, bind("strftime_now", args, ["format"]).requireText("format"))),
      ),
    ],
  ]);
}

/** Python's `dict()` of a mapping or of pairs, and of named arguments. */
function toMapping({ positional, named }: Arguments): Mapping {
  if (positional.length > 1) {
    throw new Error(`a mapping is made of at most 1 argument; found ${positional.length}`);
  }
  const [given] = positional;
  return new Mapping([
    ...(given === undefined ? [] : given.kind === "mapping" ? given.entries() : iterate(given).map(pairOf)),
    ...[...named].map(([key, value]) => [textOf(key), value] as const),
  ]);
}

function pairOf(value: Value): readonly [Value, Value] {
  const parts = iterate(value);
  if (parts.length === 2) {
    return [parts[0], parts[1]];
  }
  throw new Error(`a mapping is made of pairs; found ${isSequence(value) ? str(value) : nameOf(value)}`);
}

function fieldsOf(mapping: Mapping): Map<string, Value> {
  return new Map(mapping.entries().map(([key, value]) => [str(key), value]));
}

/** Python's `range()`. @throws Error for bounds that are no integers, and a range that is too long */
function range({ positional, named }: Arguments): Value {
  const bounds = positional.map((bound) =>
    bound.kind === "integer" || bound.kind === "boolean" ? Number(bound.value) : Number.NaN,
  );
  const [first = Number.NaN, second, step = 1] = bounds;
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (named.size === 0 && bounds.length <= 3 && Number.isInteger(count) && count <= LONGEST_RANGE) {
    spendItems(count);
    return listOf(Array.from({ length: count }, (_, i) => integerOf(start + i * step)));
  }
  const found = positional
    .map((bound) => (bound.kind === "function" ? nameOf(bound) : str(bound)))
    .join(", ");
  throw new Error(`range(${found}) is not a list of at most ${LONGEST_RANGE} integers`);
}

/**
 * What a sequence keeps between passes, layer by layer: keys and values of its positions, an encoder's input, or a
 * recurrent state. A Program declares it; who holds sequences (an Executable, a cache of prefixes) works with it.
 */
import { ModelComposeError } from "../base/errors.ts";

/** Keys [kvHeads, keyDim] and values [kvHeads, valueDim] of every position, written once and found by position. */
export interface KvState {
  readonly kind: "kv";
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Only the last this many positions are ever read; absent: all. */
  readonly window?: number;
}

/**
 * Keys and values of an encoder's input: written by the entry ENCODE, read whole by every later pass. A sequence shares
 * its own with its forks, which therefore must not outlive it.
 */
export interface SourceState {
  readonly kind: "source";
  readonly kvHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
}

/**
 * [columns] f32 that every position replaces (a short convolution's last inputs, a state-space model's state). It belongs
 * to one position, the sequence's last: an earlier one is reached through a snapshot only.
 */
export interface RecurrentState {
  readonly kind: "recurrent";
  readonly columns: number;
}

export type LayerState = KvState | SourceState | RecurrentState;

/** A Program, as far as its state goes. */
export interface Stateful {
  readonly state: readonly LayerState[];
}

/** Shape of the heads of keys and values. */
export interface HeadShape {
  readonly kvHeads: number;
  readonly headDim: number;
}

/** `count` layers of keys and values whose heads are alike. */
export function kvLayers(count: number, { kvHeads, headDim }: HeadShape): KvState[] {
  return Array.from({ length: count }, () => ({ kind: "kv", kvHeads, keyDim: headDim, valueDim: headDim }));
}

/** `count` layers of an encoder's input whose heads are alike. */
export function sourceLayers(count: number, shape: HeadShape): SourceState[] {
  return kvLayers(count, shape).map((layer) => ({ ...layer, kind: "source" }));
}

/** Whether a layer holds an encoder's input. */
export function isSourceLayer(program: Stateful, layer: number): boolean {
  return program.state[layer]?.kind === "source";
}

/** f32 numbers that one position takes in a layer; 0 where the state does not grow. */
export function numbersPerPosition(layer: LayerState): number {
  return layer.kind === "recurrent" ? 0 : layer.kvHeads * (layer.keyDim + layer.valueDim);
}

/**
 * The one shape of all heads, for devices whose attention is planned for one.
 *
 * @throws ModelComposeError "unsupported" for recurrent layers, and for heads that differ from layer to layer or in the
 *   width of keys and values
 */
export function uniformHeads({ state }: Stateful): HeadShape {
  const [first] = state;
  if (first === undefined) {
    return { kvHeads: 1, headDim: 0 };
  }
  for (const [layer, found] of state.entries()) {
    if (found.kind === "recurrent") {
      throw unsupported(`layer ${layer} keeps a recurrent state of ${found.columns} numbers`);
    }
    if (found.keyDim !== found.valueDim) {
      throw unsupported(
        `layer ${layer} has keys of ${found.keyDim} and values of ${found.valueDim} channels a head`,
      );
    }
    if (first.kind !== "recurrent" && (found.kvHeads !== first.kvHeads || found.keyDim !== first.keyDim)) {
      throw unsupported(
        `layer ${layer} has ${found.kvHeads} heads of ${found.keyDim} channels, layer 0 has ${first.kvHeads} of ${first.keyDim}`,
      );
    }
  }
  return first.kind === "recurrent"
    ? { kvHeads: 1, headDim: 0 }
    : { kvHeads: first.kvHeads, headDim: first.keyDim };
}

function unsupported(what: string): ModelComposeError {
  return new ModelComposeError(
    "unsupported",
    `No device runs this model yet: ${what}; expected keys and values whose heads have one shape in all layers.`,
    { remedy: "Use a model of a family that is listed as supported." },
  );
}

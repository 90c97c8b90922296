/**
 * Finds what the ops of an entry need of each other: which op reads what another wrote (true dependences), and which
 * may not overwrite a buffer before others have read it (anti-dependences) or written it (output dependences). Buffers
 * and the layers of the KV cache are the places that ops read and write; every write replaces what a buffer held.
 */
import { opAccess, type Name, type Op } from "../../program.ts";

/** A layer of the KV cache, as a place beside the buffers. No buffer's name begins with a NUL. */
export const cacheOf = (layer: number): Name => `\0cache ${layer}`;

/** Reads and writes of an op, the KV cache included. */
function placesOf(op: Op): { reads: Name[]; writes: Name[] } {
  const { reads, writes } = opAccess(op);
  if (op.role === "append") {
    return { reads, writes: [...writes, cacheOf(op.layer)] };
  }
  return { reads: op.role === "attention" ? [...reads, cacheOf(op.layer)] : reads, writes };
}

/** The dependences between ops, which are named by their index in `ops`. */
export class Dataflow {
  readonly ops: readonly Op[];
  /** For each op the ops that must run after it. */
  readonly #after: readonly Set<number>[];
  /** Maps "op place" to the op that wrote what this op reads there. */
  readonly #writers = new Map<string, number>();
  /** Maps "op place" to the ops that read what this op wrote there. */
  readonly #readers = new Map<string, number[]>();

  constructor(ops: readonly Op[]) {
    this.ops = ops;
    this.#after = ops.map(() => new Set<number>());
    const lastWriter = new Map<Name, number>();
    const readersSince = new Map<Name, number[]>();
    for (const [i, op] of ops.entries()) {
      const { reads, writes } = placesOf(op);
      for (const place of reads) {
        const writer = lastWriter.get(place);
        if (writer !== undefined) {
          this.#after[writer].add(i);
          this.#writers.set(`${i} ${place}`, writer);
          const readers = this.#readers.get(`${writer} ${place}`) ?? [];
          this.#readers.set(`${writer} ${place}`, [...readers, i]);
        }
        readersSince.set(place, [...(readersSince.get(place) ?? []), i]);
      }
      for (const place of writes) {
        const earlier = [...(readersSince.get(place) ?? []), lastWriter.get(place)];
        for (const other of earlier) {
          if (other !== undefined && other !== i) {
            this.#after[other].add(i);
          }
        }
        lastWriter.set(place, i);
        readersSince.set(place, []);
      }
      if (op.role === "logits") {
        // The logits are computed when everything else is: of the last rows only, by the head of a form.
        for (let other = 0; other < i; other++) {
          this.#after[other].add(i);
        }
      }
    }
  }

  /** The ops that must run after op `i`, of those that depend on it directly. */
  after(i: number): ReadonlySet<number> {
    return this.#after[i];
  }

  /** The op whose result op `i` reads in `place`; undefined where no op of the entry wrote it before. */
  writer(i: number, place: Name): number | undefined {
    return this.#writers.get(`${i} ${place}`);
  }

  /** The ops that read what op `i` wrote to `place`. */
  readers(i: number, place: Name): readonly number[] {
    return this.#readers.get(`${i} ${place}`) ?? [];
  }
}

/** Ops of a Dataflow that run as one. At first each is by itself. */
export class Clusters {
  readonly #flow: Dataflow;
  /** For each op its cluster, which is named by the first of its ops. */
  readonly #clusterOf: number[];
  readonly #members = new Map<number, readonly number[]>();

  constructor(flow: Dataflow) {
    this.#flow = flow;
    this.#clusterOf = flow.ops.map((_, i) => i);
    for (const i of flow.ops.keys()) {
      this.#members.set(i, [i]);
    }
  }

  /** The cluster of an op. */
  of(op: number): number {
    return this.#clusterOf[op];
  }

  /** Whether an op is a cluster by itself. */
  isSingle(op: number): boolean {
    return this.#members.get(op)?.length === 1;
  }

  /**
   * Makes one cluster of several and returns it; undefined, and nothing has changed, where an op outside would have to
   * run between two of its ops.
   */
  join(clusters: Iterable<number>): number | undefined {
    const joined = [...new Set(clusters)].sort((a, b) => a - b);
    if (this.#hasWayBack(joined)) {
      return undefined;
    }
    const members = joined.flatMap((cluster) => this.#members.get(cluster) ?? []).sort((a, b) => a - b);
    for (const cluster of joined) {
      this.#members.delete(cluster);
    }
    this.#members.set(joined[0], members);
    for (const op of members) {
      this.#clusterOf[op] = joined[0];
    }
    return joined[0];
  }

  /** All clusters in an order in which they can run; of several that could be next, the one that begins first. */
  inOrder(): number[] {
    const waiting = new Map([...this.#members.keys()].map((cluster) => [cluster, 0]));
    for (const cluster of this.#members.keys()) {
      for (const next of this.#after([cluster])) {
        waiting.set(next, (waiting.get(next) ?? 0) + 1);
      }
    }
    const order: number[] = [];
    while (waiting.size > 0) {
      const ready = [...waiting].filter(([, count]) => count === 0).map(([cluster]) => cluster);
      if (ready.length === 0) {
        throw new Error("The clusters wait for each other.");
      }
      const next = Math.min(...ready);
      waiting.delete(next);
      order.push(next);
      for (const other of this.#after([next])) {
        waiting.set(other, (waiting.get(other) ?? 0) - 1);
      }
    }
    return order;
  }

  /** Whether a chain of dependences leaves these clusters and comes back to them. */
  #hasWayBack(clusters: readonly number[]): boolean {
    const horizon = this.#horizon(clusters);
    const seen = new Set(clusters);
    const open = [...this.#after(clusters)];
    for (let cluster = open.pop(); cluster !== undefined; cluster = open.pop()) {
      if (seen.has(cluster) || cluster > horizon) {
        continue;
      }
      seen.add(cluster);
      const after = this.#after([cluster]);
      if (clusters.some((joined) => after.has(joined))) {
        return true;
      }
      open.push(...after);
    }
    return false;
  }

  /**
   * An op behind which no chain of dependences leads back to these clusters: dependences lead to later ops, and no
   * cluster has ops on both sides of it. Without it every question would walk through the rest of the program.
   */
  #horizon(clusters: readonly number[]): number {
    let horizon = Math.max(...clusters.map((cluster) => this.#last(cluster)));
    for (let op = 0; op <= horizon; op++) {
      horizon = Math.max(horizon, this.#last(this.#clusterOf[op]));
    }
    return horizon;
  }

  #last(cluster: number): number {
    return this.#members.get(cluster)?.at(-1) ?? cluster;
  }

  /** The clusters, other than these, that must run after one of these. */
  #after(clusters: readonly number[]): Set<number> {
    const after = new Set<number>();
    for (const op of clusters.flatMap((cluster) => this.#members.get(cluster) ?? [])) {
      for (const next of this.#flow.after(op)) {
        const cluster = this.#clusterOf[next];
        if (!clusters.includes(cluster)) {
          after.add(cluster);
        }
      }
    }
    return after;
  }
}

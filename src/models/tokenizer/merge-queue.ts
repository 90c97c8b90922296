/** Places of a word at which symbols may be merged: lowest rank first, of one rank leftmost first. */

/** The places of one rank. */
interface Bucket {
  places: number[];
  /** How many of them have been taken. */
  taken: number;
  isSorted: boolean;
}

/**
 * A priority queue of (rank, place). Places of a rank nearly always come in order, since they are found while another
 * rank is gone through from left to right: a list for each rank, and a heap of ranks, take time in proportion to the
 * entries, which a heap of entries would not.
 */
export class MergeQueue {
  /** What `take` has taken. */
  rank = -1;
  place = -1;
  readonly #buckets = new Map<number, Bucket>();
  /** A binary heap of the ranks in `#buckets`, each once. */
  readonly #ranks: number[] = [];

  add(rank: number, place: number): void {
    const bucket = this.#buckets.get(rank);
    if (bucket === undefined) {
      this.#buckets.set(rank, { places: [place], taken: 0, isSorted: true });
      this.#addRank(rank);
      return;
    }
    const { places } = bucket;
    const last = places.at(-1);
    bucket.isSorted &&= last === undefined || last <= place;
    places.push(place);
  }

  /** Takes the first entry out into `rank` and `place`. @returns false when there is none */
  take(): boolean {
    for (;;) {
      const rank = this.#ranks[0];
      const bucket = rank === undefined ? undefined : this.#buckets.get(rank);
      if (rank === undefined || bucket === undefined) {
        return false;
      }
      if (!bucket.isSorted) {
        bucket.places = bucket.places.slice(bucket.taken).sort((a, b) => a - b);
        bucket.taken = 0;
        bucket.isSorted = true;
      }
      const place = bucket.places[bucket.taken++];
      if (place !== undefined) {
        this.rank = rank;
        this.place = place;
        return true;
      }
      this.#buckets.delete(rank);
      this.#removeFirstRank();
    }
  }

  #addRank(rank: number): void {
    const ranks = this.#ranks;
    let at = ranks.push(rank) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = ranks[parent] ?? 0;
      if (above <= rank) {
        break;
      }
      ranks[at] = above;
      at = parent;
    }
    ranks[at] = rank;
  }

  #removeFirstRank(): void {
    const ranks = this.#ranks;
    const last = ranks.pop();
    if (last === undefined || ranks.length === 0) {
      return;
    }
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < ranks.length && (ranks[child + 1] ?? 0) < (ranks[child] ?? 0)) {
        child++;
      }
      const below = ranks[child];
      if (below === undefined || below >= last) {
        break;
      }
      ranks[at] = below;
      at = child;
    }
    ranks[at] = last;
  }
}

/** The buckets of distances that T5's biases are by (transformers: T5Attention._relative_position_bucket). */

interface Buckets {
  /** Number of buckets, a multiple of 4. */
  buckets: number;
  /** The distance from which all are one, larger than half of `buckets`. */
  maxDistance: number;
  /** Whether keys after the query have a half of the buckets; else they have the bucket of its own position. */
  isBidirectional: boolean;
}

/**
 * [2 maxDistance + 1] buckets: of a key -maxDistance positions from the query, and so on up to maxDistance. Half of a direction's
 * buckets are of one distance each, the others of more and more, logarithmically; in f32, as transformers computes them.
 */
export function relativeBuckets({ buckets, maxDistance, isBidirectional }: Buckets): number[] {
  const count = isBidirectional ? buckets / 2 : buckets;
  const exact = count / 2;
  const { fround, log } = Math;
  const bucketOf = (distance: number): number => {
    if (distance < exact) {
      return distance;
    }
    const part = fround(fround(log(fround(distance / exact))) / fround(log(maxDistance / exact)));
    return Math.min(exact + Math.floor(fround(part * (count - exact))), count - 1);
  };
  return Array.from({ length: 2 * maxDistance + 1 }, (_, i) => {
    const distance = i - maxDistance;
    if (isBidirectional) {
      return (distance > 0 ? count : 0) + bucketOf(Math.abs(distance));
    }
    return bucketOf(Math.max(-distance, 0));
  });
}

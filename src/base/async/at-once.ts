/**
 * Does numbered work, at most so much of it at a time, in the order of the numbers. After a failure nothing more is begun.
 *
 * @param onFailure called once, at the first failure, to end what goes on
 * @returns the results by number
 * @throws the first failure, when all that had begun has ended
 */
export async function atOnce<T>(
  count: number,
  most: number,
  work: (index: number) => Promise<T>,
  onFailure: () => void,
): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  let failure: { readonly error: unknown } | undefined;
  const worker = async (): Promise<void> => {
    while (failure === undefined && next < count) {
      const index = next++;
      try {
        results[index] = await work(index);
      } catch (error) {
        if (failure === undefined) {
          failure = { error };
          onFailure();
        }
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(most, count) }, worker));
  if (failure !== undefined) {
    throw failure.error;
  }
  return results;
}

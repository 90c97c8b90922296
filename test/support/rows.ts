/** The buffer of a pass's rows as src/kernels/common/rows.wgsl reads it. */
export function rowWords(
  maxRows: number,
  rows: {
    tokens?: number[];
    slots?: number[];
    positions: number[];
    logitRows?: number[];
    sourceLength?: number;
  },
): Uint32Array {
  const { positions, logitRows = [], sourceLength = 0 } = rows;
  const words = new Uint32Array(8 + 4 * maxRows);
  words.set([positions.length, logitRows.length, sourceLength]);
  words.set(rows.tokens ?? [], 8);
  words.set(rows.slots ?? [], 8 + maxRows);
  words.set(positions, 8 + 2 * maxRows);
  words.set(logitRows, 8 + 3 * maxRows);
  return words;
}

/** The value of a stream: one text when all of its pieces are texts, else the list of pieces. */
export function joinPieces(pieces: readonly unknown[]): unknown {
  return pieces.every((piece) => typeof piece === "string") ? pieces.join("") : pieces;
}

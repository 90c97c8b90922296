// How a tile of keys or values of block-matrix.wgsl comes from the cache to workgroup memory: from `keys` or `values` to registers,
// which takes a while, and from there as halves to `stage`.
#if CACHE == "f16"
fn stagePiece(at: u32, piece: Piece) {
  stage[at] = cachedHalf(piece.xy);
  stage[at + 1u] = cachedHalf(piece.zw);
}
#else
fn stagePiece(at: u32, piece: Piece) {
  // The comparison is false for NaN, which stays.
  stage[at] = toHalf(select(piece, clamp(piece, vec4(-65504.0), vec4(65504.0)), abs(piece) > vec4(65504.0)));
}
#endif

const ROW_PIECES = COLUMNS / PIECE;
const TILE_PIECES = KEYS * ROW_PIECES;
alias Loaded = array<Piece, LOADS>;

// Where in the cache a piece of a tile is. Beyond the last visible position there may be anything, or no memory.
fn pieceAt(index: u32, cache: u32, start: u32, first: u32, last: u32) -> u32 {
  let position = clamp(start + index / ROW_PIECES, first, last);
  return (cache + position * POSITION_STRIDE) / PIECE + index % ROW_PIECES;
}

fn loadKeys(local: u32, cache: u32, start: u32, first: u32, last: u32) -> Loaded {
  var loaded = Loaded();
#for I LOADS
  if (TILE_PIECES % WORKGROUP == 0u || local + $I * WORKGROUP < TILE_PIECES) {
    loaded[$I] = keys[pieceAt(local + $I * WORKGROUP, cache, start, first, last)];
  }
#endfor
  return loaded;
}

// What no row sees has the weight 0, but 0 · NaN would show: values are of visible positions.
fn loadValues(local: u32, cache: u32, start: u32, first: u32, last: u32) -> Loaded {
  var loaded = Loaded();
#for I LOADS
  if (TILE_PIECES % WORKGROUP == 0u || local + $I * WORKGROUP < TILE_PIECES) {
    loaded[$I] = values[pieceAt(local + $I * WORKGROUP, cache, start, first, last)];
  }
#endfor
  return loaded;
}

fn stageTile(local: u32, loaded: Loaded, at: u32) {
#for I LOADS
  if (TILE_PIECES % WORKGROUP == 0u || local + $I * WORKGROUP < TILE_PIECES) {
    let index = local + $I * WORKGROUP;
    stagePiece(at + index / ROW_PIECES * PITCH + index % ROW_PIECES * PIECE, loaded[$I]);
  }
#endfor
}

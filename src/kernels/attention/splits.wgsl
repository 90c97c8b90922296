// The positions that a row sees, in its own slot up to its own position or (SOURCE) all of the encoder's input, are cut
// into tiles of TILE. Of a row that sees no more than DIRECT_POSITIONS one workgroup takes all tiles of some heads and
// writes their output; of any other the tiles are dealt to splits as evenly as they go. Which of the two, and how many
// splits there are, depends on the row alone, so that its output has the same bits whatever rows are beside it;
// decode.gpu.ts computes the same.
//
// A split leaves one record a query head in `partials` [R][HEADS][MAX_SPLITS]: COLUMNS vec4 of values weighted with
// exp(score - largest), then (largest score, sum of exp(score - largest), 0, 0).
#include "attention/visible.wgsl"

const RECORD = COLUMNS + 1u;

#if SOURCE
fn lastVisible(row: u32) -> u32 { return sourceLength() - 1u; }
fn cacheSlot(row: u32) -> u32 { return 0u; }
#else
fn lastVisible(row: u32) -> u32 { return rowPosition(row); }
fn cacheSlot(row: u32) -> u32 { return rowSlot(row); }
#endif

fn isDirect(last: u32) -> bool { return last - firstVisible(last) < DIRECT_POSITIONS; }
fn tileCount(last: u32) -> u32 { return (last - firstVisible(last)) / TILE + 1u; }
fn splitCount(tiles: u32) -> u32 { return min(tiles, MAX_SPLITS); }

fn recordStart(row: u32, head: u32, split: u32) -> u32 {
  return ((row * HEADS + head) * MAX_SPLITS + split) * RECORD;
}

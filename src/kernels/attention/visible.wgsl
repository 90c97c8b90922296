// What a query sees, and how kernels read the cache: [slot][position][KV_HEADS][COLUMNS] of four numbers, f32 or (CACHE "f16")
// two to a word.
#if CACHE == "f16"
#include "common/half.wgsl"
alias Cached = vec2<u32>;
fn widenCached(words: Cached) -> vec4<f32> { return widenPairs(words); }
#else
alias Cached = vec4<f32>;
fn widenCached(numbers: Cached) -> vec4<f32> { return numbers; }
#endif

const COLUMNS = HEAD_DIM / 4u;
const POSITION_STRIDE = KV_HEADS * COLUMNS;
// Query heads of a KV head. A workgroup takes TILE_HEADS of them; HEAD_TILES workgroups take all.
const GROUP = HEADS / KV_HEADS;
const HEAD_TILES = (GROUP + TILE_HEADS - 1u) / TILE_HEADS;

// The score of what is not seen.
const INVISIBLE = -0x1.fffffep+127f;
// The largest score before there is any: so far above INVISIBLE that exp(INVISIBLE - LOWEST) is 0, and below all
// others.
const LOWEST = -0x1p+126f;

// The first position that a query sees whose last is `last`.
fn firstVisible(last: u32) -> u32 {
#if WINDOW == 0
  return 0u;
#else
  return max(last, WINDOW - 1u) - (WINDOW - 1u);
#endif
}

// Where the cache of a KV head begins at position 0 of a slot.
fn cacheStart(slot: u32, kvHead: u32) -> u32 { return slot * CONTEXT * POSITION_STRIDE + kvHead * COLUMNS; }

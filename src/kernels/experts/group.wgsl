// Gathers the lines of a pass that have chosen one expert, in tiles of TILE: line i of row r, with the expert of routes[r][i], is
// line CHOSEN r + i. `tiles`: how many there are, then of each the expert, how many lines it has, and TILE of them.
//
// One workgroup, whose invocations have some neighbouring experts each: they count their lines, then those of invocations before
// them are before theirs.
#include "common/rows.wgsl"

@group(0) @binding(0) var<storage, read> routes: array<f32>; // [R, 2 CHOSEN]: experts, then weights
@group(0) @binding(1) var<storage, read> rows: array<u32>;
@group(0) @binding(2) var<storage, read_write> tiles: array<u32>;

const OWN = (EXPERTS + WORKGROUP - 1u) / WORKGROUP;

var<workgroup> tileCounts: array<u32, WORKGROUP>;

fn expertOf(line: u32) -> u32 { return u32(routes[line / CHOSEN * 2u * CHOSEN + line % CHOSEN]); }

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_index) local: u32) {
  let lines = rowCount() * CHOSEN;
  var counts: array<u32, OWN>;
  for (var line = 0u; line < lines; line++) {
    let own = expertOf(line) - local * OWN;
    if (own < OWN) { counts[own]++; }
  }
  var count = 0u;
  for (var own = 0u; own < OWN; own++) { count += (counts[own] + TILE - 1u) / TILE; }
  tileCounts[local] = count;
  workgroupBarrier();

  var before = 0u;
  for (var i = 0u; i < local; i++) { before += tileCounts[i]; }
  if (local == WORKGROUP - 1u) { tiles[0] = before + count; }
  // The place of each expert's next line, as its number among all places for lines.
  var next: array<u32, OWN>;
  for (var own = 0u; own < OWN; own++) {
    next[own] = before * TILE;
    for (var first = 0u; first < counts[own]; first += TILE) {
      let tile = 1u + before * (TILE + 2u);
      tiles[tile] = local * OWN + own;
      tiles[tile + 1u] = min(TILE, counts[own] - first);
      before++;
    }
  }
  for (var line = 0u; line < lines; line++) {
    let own = expertOf(line) - local * OWN;
    if (own >= OWN) { continue; }
    let place = next[own];
    tiles[1u + place / TILE * (TILE + 2u) + 2u + place % TILE] = line;
    next[own]++;
  }
}

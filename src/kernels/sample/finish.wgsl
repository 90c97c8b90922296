// What the last dispatch of every token choice needs: the most likely token and the hand-over to the next step. One
// workgroup.
#include "sample/highest.wgsl"

const OK = 0u;
const NOT_FINITE = 1u;
const NO_TOKEN = 2u;

// The lowest token with the highest key.
fn mostLikely(highest: u32, local: u32) -> u32 {
  var first = CHUNKS;
  for (var chunk = local; chunk < CHUNKS; chunk += WORKGROUP) {
    if (work[chunk] == highest) { first = min(first, chunk); }
  }
  first = workgroupMin(first, local);
  var token = VOCABULARY;
  for (var quad = first * QUADS_PER_CHUNK + local; quad < (first + 1u) * QUADS_PER_CHUNK; quad += WORKGROUP) {
    let keys = scaledKeys(quad);
    for (var i = 0u; i < 4u; i++) {
      if (keys[i] == highest) { token = min(token, quad * 4u + i); }
    }
  }
  return workgroupMin(token, local);
}

fn statusOf(highest: u32) -> u32 {
  if (highest >= INFINITY_KEY) { return NOT_FINITE; }
  return select(OK, NO_TOKEN, highest <= MINUS_INFINITY_KEY);
}

// One invocation. Reports the token and makes it what its row of the next pass reads (laid out as common/rows.wgsl says; the
// rest of the rows is the host's).
// With a bad status it is a valid token all the same, so that steps already on their way do no harm; they choose no
// more.
fn finish(token: u32, status: u32, highest: u32) {
  let position = choice[POSITION];
  result[4u * params.row] = token;
  result[4u * params.row + 1u] = status;
  result[4u * params.row + 2u] = position;
  result[4u * params.row + 3u] = valueOf(highest);
  rows[8u + params.row] = token;
  rows[8u + 2u * MAX_ROWS + params.row] = position;
  choice[STATUS] = status;
  choice[POSITION] = position + 1u;
  choice[CHOSEN] += 1u;
  marks[2u * (token / 32u)] |= 1u << (token % 32u);
}

// Logits as keys, after what history and temperature do to them (logits-processors.ts). A quad is four tokens.
#include "sample/exact-f32.wgsl"

// token-choice.gpu.ts packs these params. Numbers marked "f32" are bits.
struct Params {
  penalty: u32, // f32
  temperature: u32, // f32
  // f32: candidates farther below the highest logit are dropped (min-p).
  farthest: u32,
  // A share of the total weight, in 2^-32: candidates that weigh no more together are dropped (top-p).
  removable: u32,
  topK: u32, // 0 keeps all
  minNewTokens: u32,
  // The row of the next pass that reads the token, and of `result` that reports it.
  row: u32,
  seedLow: u32,
  seedHigh: u32,
  sequence0: u32,
  sequence1: u32,
  sequence2: u32,
}

// The words of `choice` are status, position and chosen.
const STATUS = 0u;
const POSITION = 1u; // of the token to be chosen
const CHOSEN = 2u; // tokens so far

const QUADS_PER_CHUNK = CHUNK / 4u;
const CHUNKS = (VOCABULARY + CHUNK - 1u) / CHUNK;
const CHUNKS_PER_WORKGROUP = WORKGROUP / QUADS_PER_CHUNK;

// Parts of `work`: of each chunk the highest key, the sum of weights (two words), and its place in a list of those that
// are read again; then keys, ids and weights of candidates, at worst (all logits are equal) the whole vocabulary.
const SUMS = CHUNKS;
const LISTED = 3u * CHUNKS;
const KEYS = 4u * CHUNKS;
const IDS = KEYS + VOCABULARY;
const WEIGHTS = IDS + VOCABULARY;

// `marks` is two bits a token, in pairs of words for 32 tokens: the seen ones, then the end-of-sequence ones.
fn marked(token: u32, kind: u32) -> u32 { return marks[2u * (token / 32u) + kind] >> (token % 32u); }

// The keys of a quad after penalty and ban; NO_KEY beyond the vocabulary.
fn historyKeys(quad: u32) -> vec4<u32> {
  let token = quad * 4u;
  var keys = vec4(NO_KEY);
  if (token >= VOCABULARY) { return keys; }
  let values = logits[quad];
  var seen = 0u;
  if (params.penalty != ONE) { seen = marked(token, 0u); }
  var banned = 0u;
  if (choice[CHOSEN] < params.minNewTokens) { banned = marked(token, 1u); }
  for (var i = 0u; i < min(4u, VOCABULARY - token); i++) {
    var value = values[i];
    if (((banned >> i) & 1u) == 1u) {
      keys[i] = MINUS_INFINITY_KEY;
      continue;
    }
    if (((seen >> i) & 1u) == 1u) {
      // This is CTRL's penalty.
      let isNegative = value > 0x80000000u;
      if (isNegative) { value = multiply(value, params.penalty); } else { value = divide(value, params.penalty); }
    }
    keys[i] = keyOf(value);
  }
  return keys;
}

fn scaledKeys(quad: u32) -> vec4<u32> {
  var keys = historyKeys(quad);
  for (var i = 0u; i < 4u; i++) { keys[i] = scaledKey(keys[i]); }
  return keys;
}

// The key after the temperature. Order is kept, so the highest of scaled keys is the highest one, scaled.
fn scaledKey(key: u32) -> u32 {
  if (params.temperature == ONE || key == NO_KEY) { return key; }
  return keyOf(divide(valueOf(key), params.temperature));
}

// Philox4x32-10 (Salmon et al. 2011), the same as philox.ts.
#include "sample/logit-keys.wgsl"

// Word 0 of the encrypted counter.
fn philox(counter: vec4<u32>, key: vec2<u32>) -> u32 {
  var c = counter;
  var k = key;
  for (var round = 0u; round < 10u; round++) {
    let high0 = multiplyHigh(0xd2511f53u, c.x);
    let low0 = 0xd2511f53u * c.x;
    let high1 = multiplyHigh(0xcd9e8d57u, c.z);
    let low1 = 0xcd9e8d57u * c.z;
    c = vec4(high1 ^ c.y ^ k.x, low1, high0 ^ c.w ^ k.y, low0);
    k += vec2(0x9e3779b9u, 0xbb67ae85u);
  }
  return c.x;
}

// The uniform draw for the token to be chosen.
fn drawnWord() -> u32 {
  let counter = vec4(choice[POSITION], params.sequence0, params.sequence1, params.sequence2);
  return philox(counter, vec2(params.seedLow, params.seedHigh));
}

import type { ModelNeeds } from "./prospects.ts";

/**
 * Well-known models with what they take where they are stored in bf16, smallest first. `prospects.test.ts` counts it from the
 * models' configurations.
 */
export const WELL_KNOWN_MODELS: readonly ModelNeeds[] = [
  {
    name: "HuggingFaceTB/SmolLM2-135M-Instruct",
    bytes: { none: 269030016, int8: 143025408, int4: 92199168 },
    bytesPerToken: { none: 268959744, int8: 142884864, int4: 92058624 },
    layers: 30,
    kvBytesPerToken: 46080,
  },
  {
    name: "HuggingFaceTB/SmolLM2-360M-Instruct",
    bytes: { none: 723642240, int8: 384618240, int4: 233312000 },
    bytesPerToken: { none: 723517440, int8: 384368640, int4: 233062400 },
    layers: 32,
    kvBytesPerToken: 81920,
  },
  {
    name: "Qwen/Qwen3-0.6B",
    bytes: { none: 1192099840, int8: 633495552, int4: 429236224 },
    bytesPerToken: { none: 1191968768, int8: 633233408, int4: 428974080 },
    layers: 28,
    kvBytesPerToken: 229376,
  },
  {
    name: "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    bytes: { none: 3422752768, int8: 1818632192, int4: 1066016768 },
    bytesPerToken: { none: 3422552064, int8: 1818230784, int4: 1065615360 },
    layers: 24,
    kvBytesPerToken: 393216,
  },
  {
    name: "HuggingFaceTB/SmolLM3-3B",
    bytes: { none: 6150197248, int8: 3267731456, int4: 1884594176 },
    bytesPerToken: { none: 6149898240, int8: 3267133440, int4: 1883996160 },
    layers: 36,
    kvBytesPerToken: 147456,
  },
  {
    name: "mistralai/Mistral-7B-Instruct-v0.3",
    bytes: { none: 14496047104, int8: 7701807104, int4: 4284628992 },
    bytesPerToken: { none: 14227079168, int8: 7558135808, int4: 4140957696 },
    layers: 32,
    kvBytesPerToken: 262144,
  },
  {
    name: "Qwen/Qwen3-8B",
    bytes: { none: 16381470720, int8: 8703561728, int4: 5311631360 },
    bytesPerToken: { none: 15136194560, int8: 8041103360, int4: 4649172992 },
    layers: 36,
    kvBytesPerToken: 294912,
  },
];

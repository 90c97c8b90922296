/** All that the package exports, `model-compose` and `model-compose/ai`, for its reference. */
export * from "../../src/index.ts";
export * from "../../src/ai/index.ts";

/** The rooms that mutation testing knows, and which tests say what each of them does. */

export interface Room {
  /** Its files and folders. */
  readonly places: readonly string[];
  /** Globs of its tests. They need no GPU, browser or process of their own; whole models would make every change take minutes. */
  readonly tests: readonly string[];
  /** Files of it whose work is a process of its own, in which nothing is changed; tests of processes say what they do. */
  readonly apart?: readonly string[];
}

/** The rooms whose logic is all in TypeScript; kernels and devices have tests of numbers instead. */
export const ROOMS: Readonly<Record<string, Room>> = {
  hub: {
    places: ["src/models/hub"],
    tests: ["src/models/hub/**/*.test.ts", "test/{hub-fetch,hub-access,models-command}.test.ts"],
  },
  cli: {
    places: ["src/cli"],
    apart: ["src/cli/entry.ts"],
    tests: [
      "src/cli/**/*.test.ts",
      "test/{cli,models-command,chat-command,first-commands,model-project}.test.ts",
    ],
  },
  server: {
    places: ["src/server", "src/registry"],
    apart: ["src/registry/launch.ts"],
    tests: [
      "src/{server,registry}/**/*.test.ts",
      "test/{server,tasks,errors,openai-api,openai-runs,responses-api,anthropic-api,structured-output,model-project}.test.ts",
    ],
  },
  compose: {
    places: ["src/compose"],
    tests: ["src/compose/**/*.test.ts", "test/{server,tasks,chat}.test.ts"],
  },
  sampling: {
    places: ["src/runtime/sampling", "src/runtime/generation"],
    tests: [
      "src/runtime/{sampling,generation,grammar}/**/*.test.ts",
      "test/{beam-generation,sampling-golden,structured-output,embeddings}.test.ts",
    ],
  },
  checkpoint: {
    places: ["src/runtime/checkpoint"],
    tests: ["src/runtime/checkpoint/**/*.test.ts", "test/pytorch-checkpoint.test.ts"],
  },
  config: {
    places: ["src/models/config"],
    tests: ["src/models/**/*.test.ts", "test/errors.test.ts"],
  },
};

/** The variable of the environment in which the globs of tests are passed to vitest.mutation.config.ts, as JSON. */
export const TESTS_VARIABLE = "MUTATION_TESTS";

/** The rooms that a room's name, a file or a folder stands for or lies in; all where it lies in none. */
export function roomsOf(name: string): readonly Room[] {
  if (Object.hasOwn(ROOMS, name)) {
    return [ROOMS[name]];
  }
  const own = Object.values(ROOMS).filter(({ places }) =>
    places.some((place) => `${name}/`.startsWith(`${place}/`)),
  );
  return own.length === 0 ? Object.values(ROOMS) : own;
}

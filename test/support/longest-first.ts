/** The order of test files: those that are known to take longest first, so that no worker ends long after the others. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** Test files in falling order of their time; all others take less. */
const LONGEST = [
  "test/contract.test.ts",
  "test/golden-gpu.test.ts",
  "test/quantized-gpu.test.ts",
  "test/golden.test.ts",
  "test/generation-devices.test.ts",
  "test/contract-programs.test.ts",
  "test/programs.test.ts",
  "test/cli.test.ts",
  "test/server-processes.test.ts",
  "test/models-command.test.ts",
  "src/runtime/webgpu/plan/token-choice.test.ts",
  "test/bench-gpu.test.ts",
  "test/hub-processes.test.ts",
  "test/lifecycle-gpu.test.ts",
  "test/beam-search.test.ts",
  "test/bench-app.test.ts",
  "test/webui.test.ts",
  "test/webui-chat.test.ts",
  "src/kernels/linear/linear.test.ts",
  "test/prefill-modes.test.ts",
];

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = LONGEST.findIndex((name) => moduleId.replaceAll("\\", "/").endsWith(name));
      return index === -1 ? LONGEST.length : index;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

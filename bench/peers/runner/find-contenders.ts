/** Finds who can take part, and makes the files that they read. */
import { join } from "node:path";
import { ModelComposeError } from "../../../src/base/errors.ts";
import type { Progress } from "../../harness/progress.ts";
import type { Contender } from "./contender.ts";
import type { EngineName, PeersFlags } from "./flags.ts";
import { ELEMENT_BITS } from "../export/export-model.ts";
import { ggufFile } from "./gguf-file.ts";
import { BUILDS, findLlamaBench, llamaContender, type Build } from "./llama-bench.ts";
import { NODE_LLAMA_CPP, nodeLlamaContender } from "./node-llama-cpp.ts";
import { ourContenders } from "./ours.ts";
import { ONNXRUNTIME, onnxContender } from "./onnxruntime.ts";
import { hasPeer, INSTALL } from "./peer-package.ts";

export interface Found {
  contenders: Contender[];
  /** The builds of llama.cpp among them. */
  builds: Build[];
  /** The packages among them. */
  packages: string[];
}

/**
 * Finds the contenders that the flags name, or all that are there.
 *
 * @throws ModelComposeError for one that is named and missing, and where nobody is there to compare with
 */
export async function findContenders(flags: PeersFlags, progress: Progress): Promise<Found> {
  const { model, work, engines } = flags;
  const isWanted = (name: EngineName): boolean => engines?.includes(name) ?? true;
  const missing = (name: EngineName, remedy: string): void => {
    if (engines !== undefined) {
      throw new ModelComposeError("not-found", `${name} is not installed.`, { remedy });
    }
    progress.notice(`${name} is not installed and takes no part. ${remedy}`);
  };

  const benches = new Map<Build, string>();
  for (const build of BUILDS.filter(isWanted)) {
    const program = await findLlamaBench(work, build);
    if (program === undefined) {
      missing(build, `Build it into "${join(work, build)}" as bench/peers/README.md says.`);
    } else {
      benches.set(build, program);
    }
  }
  const packages: string[] = [];
  for (const name of ([NODE_LLAMA_CPP, ONNXRUNTIME] as const).filter(isWanted)) {
    if (await hasPeer(name)) {
      packages.push(name);
    } else {
      missing(name, INSTALL);
    }
  }
  if (benches.size + packages.length === 0 && engines === undefined) {
    throw new ModelComposeError("not-found", "There is no engine to compare ours with.", {
      remedy: "Install one as bench/peers/README.md says.",
    });
  }

  const contenders = isWanted("model-compose")
    ? await ourContenders(
        model,
        flags.types.map((type) => ELEMENT_BITS[type]),
      )
    : [];
  for (const weights of flags.types) {
    if (benches.size > 0 || packages.includes(NODE_LLAMA_CPP)) {
      const file = await ggufFile(flags, weights, progress);
      contenders.push(
        ...[...benches].map(([build, program]) => llamaContender(program, build, file)),
        ...(packages.includes(NODE_LLAMA_CPP) ? [nodeLlamaContender(file)] : []),
      );
    }
    // ONNX Runtime has no kernels for 16-bit products on CPUs.
    if (packages.includes(ONNXRUNTIME) && (weights === "q8_0" || weights === "q4_0")) {
      progress.phase(`${ONNXRUNTIME}: the model as ${weights}`);
      contenders.push(await onnxContender(model, join(work, "onnx"), weights));
    }
  }
  return { contenders, builds: [...benches.keys()], packages };
}

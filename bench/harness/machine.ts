/** Says where a benchmark ran. */
import { cpus } from "node:os";
import packageJson from "../../package.json" with { type: "json" };
import { availableCores } from "../../src/runtime/platform/system.ts";

/** The machine and the software that a benchmark ran on. */
export interface Machine {
  cpuModel: string;
  cores: number;
  platform: string;
  nodeVersion: string;
  /** Version of this package. */
  version: string;
}

export function thisMachine(): Machine {
  return {
    cpuModel: cpus().at(0)?.model.trim() ?? "unknown",
    cores: availableCores(),
    platform: `${process.platform} ${process.arch}`,
    nodeVersion: process.versions.node,
    version: packageJson.version,
  };
}

export function machineJson({ cpuModel, cores, platform, nodeVersion, version }: Machine) {
  return { cpu_model: cpuModel, cores, platform, node_version: nodeVersion, version };
}

export function machineText({ cpuModel, cores, platform, nodeVersion }: Machine): string {
  return `${cpuModel}, ${cores} cores, ${platform}, Node ${nodeVersion}`;
}

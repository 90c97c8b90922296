/** What is known of an adapter, for people and for choosing one. */
import { ModelComposeError, type ErrorDetails } from "../../../base/errors.ts";
import { vulkanLoaderProblem } from "../../platform/vulkan.ts";

/** An adapter, for people and for choosing one. */
export interface AdapterSummary {
  /** Name as the driver gives it: "NVIDIA H200", "Apple M1 Max". */
  name: string;
  /** Name of the backend: "vulkan", "metal" or "d3d12". */
  backend: string;
  /** The vendor, as WebGPU names it: "nvidia"; may be empty. */
  vendor: string;
  /** The family of GPUs, as WebGPU names it: "hopper"; may be empty. */
  architecture: string;
  /** The driver and its version, where known. */
  description: string;
  /** Whether it computes on the CPU: correct, and slower than the WASM device. */
  isSoftware: boolean;
}

/** An adapter as Dawn's listing has it, before it is opened. */
export type ListedAdapter = Pick<AdapterSummary, "name" | "backend" | "isSoftware">;

/** This machine has no GPU that could be used, or nothing that could drive one. */
export class NoGpuError extends ModelComposeError {
  /** What drivers wrote while they were asked; empty: nothing. */
  readonly driverOutput: string;

  constructor(
    code: "device" | "unsupported",
    message: string,
    { driverOutput = "", ...details }: ErrorDetails & { readonly driverOutput?: string },
  ) {
    super(code, message, details);
    this.driverOutput = driverOutput;
  }
}

export const USE_CPU = 'Use the device "wasm" (the CPU)';

/**
 * Renderers in software: SwiftShader, Mesa's llvmpipe (lavapipe) and softpipe, Windows' WARP. Dawn's null backend, which
 * computes nothing, is never what a user means either.
 */
export function isSoftwareName(name: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|softpipe|microsoft basic render|\bwarp\b|null backend/i.test(name);
}

/** A listing for people, one line for each adapter: its name, backend and driver. */
export function listingText(adapters: readonly AdapterSummary[]): string {
  if (adapters.length === 0) {
    return noAdapter(vulkanLoaderProblem());
  }
  return adapters
    .map(({ name, backend, description, isSoftware }) => {
      const notes = [backend, description, isSoftware ? "software, for tests" : ""].filter(Boolean);
      return `${name} (${notes.join("; ")})`;
    })
    .join("\n");
}

export function noAdapter(vulkanProblem: string | undefined): string {
  const why = vulkanProblem === undefined ? "" : `: the Vulkan loader cannot be opened (${vulkanProblem})`;
  return `There is no WebGPU adapter on this machine${why}.`;
}

export function quoted(adapters: readonly ListedAdapter[]): string {
  return adapters.map(({ name, backend }) => `"${name}" (${backend})`).join(", ");
}

/** All options with which both devices must give the same text; see generation-devices.test.ts. */
import { vi } from "vitest";
import { CASES, describeDraws, useDevices } from "./support/generation-devices-suite.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

describeDraws(useDevices(), CASES.keys());

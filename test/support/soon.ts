import { expect } from "vitest";

/** Waits for what is not there yet; on a machine with other work to do that may take a while. */
export const soon = <T>(read: () => Promise<T> | T) => expect.poll(read, { timeout: 20_000, interval: 25 });

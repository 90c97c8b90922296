/** Lets everything go on that can. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Work that ends when it is told to. */
export function work(): { start: () => Promise<void>; end: () => void; hasStarted: boolean } {
  const { promise, resolve } = Promise.withResolvers<void>();
  const handle = {
    hasStarted: false,
    start: () => {
      handle.hasStarted = true;
      return promise;
    },
    end: resolve,
  };
  return handle;
}

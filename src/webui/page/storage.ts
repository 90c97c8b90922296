import type { ItemStorage } from "../client/conversations.ts";

/** A storage of the browser; where it is forbidden, one that refuses all, so that those who use it keep things themselves. */
export function browserStorage(find: () => Storage): ItemStorage {
  try {
    return find();
  } catch {
    return {
      length: 0,
      key: () => null,
      getItem: () => null,
      removeItem: () => undefined,
      setItem: () => {
        throw new DOMException("The browser forbids storage.", "QuotaExceededError");
      },
    };
  }
}

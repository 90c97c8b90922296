/** The server's state in the head of the page: loading its models, ready, away. */
import type { Api } from "../client/api.ts";
import { healthText } from "../client/health.ts";

/** Milliseconds between two looks at a server that is ready (CALM), and at one that is not (SOON). */
const CALM = 15_000;
const SOON = 1000;

/**
 * Shows the server's state in an element for as long as the page is open.
 *
 * @param onReachable called each time the server answers after it did not
 * @returns looks at once: somebody has seen that the server does not answer
 */
export function watchHealth(api: Api, element: HTMLElement, onReachable: () => void): () => void {
  let wasReachable = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let isLooking = false;
  const look = async (): Promise<void> => {
    if (isLooking) {
      return;
    }
    isLooking = true;
    clearTimeout(timer);
    const health = await api.health();
    isLooking = false;
    const isReachable = health.status !== "unreachable";
    element.dataset["state"] = health.status;
    element.textContent = healthText(health);
    if (isReachable && !wasReachable) {
      onReachable();
    }
    wasReachable = isReachable;
    // A page in the background asks nothing.
    if (!document.hidden) {
      timer = setTimeout(() => void look(), health.status === "ok" ? CALM : SOON);
    }
  };
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) {
      void look();
    }
  });
  void look();
  return () => void look();
}

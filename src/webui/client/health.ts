import { progressText } from "./run-state.ts";
import type { WireHealth } from "./wire.ts";

/** The server's state in a few words. */
export function healthText({ status, progress, reason }: WireHealth): string {
  switch (status) {
    case "ok":
      return progress === undefined ? "Ready" : `Ready. ${progressText(progress)}`;
    case "loading":
      return progress === undefined ? "Loading the model" : progressText(progress);
    case "failed":
      return reason ?? "The model is lost";
    case "unreachable":
      return "The server does not answer";
    case "shutting_down":
      return "The server is shutting down";
  }
}

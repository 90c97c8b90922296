import type { Failure } from "../http-error.ts";

/** The status with which APIs of models answer a failure: what is wrong with a request, or with its model, is 400 there. */
export function apiStatus({ status, reason }: Pick<Failure, "status" | "reason">): number {
  return status === 422 || reason === "no-chat-template" ? 400 : status;
}

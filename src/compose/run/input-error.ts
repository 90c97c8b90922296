import { ModelComposeError } from "../../base/errors.ts";

/**
 * The error for an input of a run that cannot be used; `field` names the part of the workflow's input that is at fault.
 */
export class WorkflowInputError extends ModelComposeError {
  override readonly name = "WorkflowInputError";
  readonly field: string | undefined;

  constructor(message: string, field?: string, remedy?: string) {
    super("invalid-input", message, { remedy });
    this.field = field;
  }
}

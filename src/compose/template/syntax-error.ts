/** The error for a malformed placeholder. `start` and `end` are offsets into the template's source. */
export class TemplateSyntaxError extends Error {
  override readonly name = "TemplateSyntaxError";
  readonly start: number;
  readonly end: number;
  readonly remedy: string | undefined;
  /** Whether it is known in the compose language, but not supported here. */
  readonly unsupported: boolean;

  constructor(
    message: string,
    start: number,
    end: number,
    details: { remedy?: string; unsupported?: boolean } = {},
  ) {
    super(message);
    this.start = start;
    this.end = Math.max(end, start + 1);
    this.remedy = details.remedy;
    this.unsupported = details.unsupported ?? false;
  }
}

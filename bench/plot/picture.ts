/** What a picture shows, before anybody draws it. */

/** A value with its spread over repetitions. */
export interface Value {
  readonly value: number;
  readonly least?: number;
  readonly most?: number;
}

/** Values by name, each a bar from zero; bars of one group stand together. */
export interface Bars {
  readonly kind: "bars";
  readonly title: string;
  /** What the values are, with their unit. */
  readonly axis: string;
  readonly bars: readonly (Value & {
    readonly group: string;
    readonly name: string;
    /** What stands behind the value. */
    readonly note?: string;
  })[];
}

/** Values over a number, from zero, a line by name. */
export interface Lines {
  readonly kind: "lines";
  readonly title: string;
  readonly axis: string;
  readonly over: string;
  readonly points: readonly (Value & { readonly name: string; readonly at: number })[];
}

/** Values over a number, each with its name beside it. */
export interface Points {
  readonly kind: "points";
  readonly title: string;
  readonly axis: string;
  readonly over: string;
  readonly points: readonly { readonly name: string; readonly at: number; readonly value: number }[];
}

export type Panel = Bars | Lines | Points;

/** Panels below each other, under a title. */
export interface Picture {
  readonly title: string;
  /** Lines under the title: where it was measured, what is not shown. */
  readonly notes: readonly string[];
  readonly panels: readonly Panel[];
}

/** The inputs of one workflow. */
import { fieldsOf, type Field } from "../client/fields.ts";
import { FormInputError, inputFromForm } from "../client/form-input.ts";
import type { WireVariable } from "../client/wire.ts";
import { h } from "./dom.ts";

type ControlElement = HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement;

interface FieldView {
  readonly field: Field;
  readonly control: ControlElement;
  readonly problem: HTMLElement;
  readonly element: HTMLElement;
  /** Brings the control up to date after the page has set its value. */
  readonly refresh: () => void;
}

/** The form of one workflow. */
export class FormView {
  readonly element: HTMLElement;
  readonly #variables: readonly WireVariable[];
  readonly #views: readonly FieldView[];

  /** @param prefix beginning of the ids of its elements */
  constructor(prefix: string, variables: readonly WireVariable[], onChange: () => void) {
    this.#variables = variables;
    this.#views = fieldsOf(variables).map((field, i) => fieldView(field, `${prefix}-field-${i}`));
    this.element = h("div", { class: "fields" }, ...this.#views.map(({ element }) => element));
    if (this.#views.length === 0) {
      this.element.append(h("p", { class: "muted" }, "It takes no input."));
    }
    this.element.addEventListener("input", (event) => {
      const view = this.#views.find(({ control }) => control === event.target);
      if (view !== undefined) {
        showProblem(view, undefined);
      }
      onChange();
    });
  }

  /** The texts of the fields, by the name of the variable. */
  values(): Record<string, string> {
    return Object.fromEntries(this.#views.map(({ field, control }) => [field.key, valueOf(control)]));
  }

  /** Sets the fields; those that are not named get their defaults. */
  fill(values: Readonly<Record<string, string>>): void {
    for (const { field, control, refresh } of this.#views) {
      const value = values[field.key] ?? field.initial;
      if (control instanceof HTMLInputElement && control.type === "checkbox") {
        control.checked = value === control.dataset["on"];
      } else {
        control.value = value;
      }
      refresh();
    }
    for (const view of this.#views) {
      showProblem(view, undefined);
    }
  }

  /** The input of a run; undefined when something is wrong, which now stands at its field. */
  input(): { readonly value: unknown } | undefined {
    const wrong = this.#views.filter((view) => {
      const isEmpty =
        view.field.required && valueOf(view.control).trim() === "" && !view.control.validity.badInput;
      const problem = isEmpty ? "Please fill in this field." : view.control.validationMessage;
      showProblem(view, problem || undefined);
      return problem !== "";
    });
    if (wrong[0] !== undefined) {
      reveal(wrong[0].control);
    }
    if (wrong.length > 0) {
      return undefined;
    }
    try {
      return { value: inputFromForm(this.#variables, new Map(Object.entries(this.values()))) };
    } catch (error) {
      if (!(error instanceof FormInputError)) {
        throw error;
      }
      this.showProblem(error.field ?? "", error.message);
      return undefined;
    }
  }

  /** Shows a problem at a field. @returns whether the form has that field */
  showProblem(key: string, message: string): boolean {
    const view = this.#views.find(({ field }) => field.key === key);
    if (view === undefined) {
      return false;
    }
    showProblem(view, message);
    reveal(view.control);
    return true;
  }
}

/** Leads the keyboard to a control, also to one that is folded away. */
function reveal(control: ControlElement): void {
  const folded = control.closest("details");
  if (folded !== null) {
    folded.open = true;
  }
  control.focus();
}

function valueOf(control: ControlElement): string {
  if (control instanceof HTMLInputElement && control.type === "checkbox") {
    const { on, off } = control.dataset;
    return (control.checked ? on : off) ?? "";
  }
  return control.value;
}

function showProblem({ control, problem }: FieldView, message: string | undefined): void {
  problem.textContent = message ?? "";
  problem.hidden = message === undefined;
  if (message === undefined) {
    control.removeAttribute("aria-invalid");
  } else {
    control.setAttribute("aria-invalid", "true");
  }
}

function fieldView(field: Field, id: string): FieldView {
  const notes: HTMLElement[] = [];
  const note = (text: string | undefined, kind: string): void => {
    if (text !== undefined) {
      notes.push(h("p", { id: `${id}-${kind}`, class: "note" }, text));
    }
  };
  note(field.description, "description");
  note(field.hint, "hint");
  const problem = h("p", { id: `${id}-problem`, class: "problem", hidden: true });
  const control = controlElement(field, {
    id,
    "aria-describedby": [...notes, problem].map((element) => element.id).join(" "),
    "aria-required": field.required ? "true" : undefined,
  });
  const label = h("label", { for: id }, field.label);
  if (field.required) {
    label.append(h("span", { class: "required" }, " required"));
  }
  const { kind } = field.control;
  const shown = kind === "range" ? h("output", { for: id }) : undefined;
  const refresh = (): void => {
    if (shown !== undefined) {
      shown.textContent = control.value;
    }
  };
  control.addEventListener("input", refresh);
  refresh();
  const line =
    kind === "checkbox" || kind === "switch"
      ? [h("div", { class: "line" }, control, label)]
      : [label, control];
  if (shown !== undefined) {
    line.splice(1, 1, h("div", { class: "line" }, control, shown));
  }
  const element = h("div", { class: "field" }, ...line, ...notes, problem);
  return { field, control, problem, element, refresh };
}

function controlElement(
  { control, initial, required }: Field,
  attributes: Record<string, string | undefined>,
): ControlElement {
  const placeholder = initial === "" && !required ? "not set" : undefined;
  switch (control.kind) {
    case "text": {
      const { rows, code } = control;
      const area = h("textarea", {
        ...attributes,
        rows,
        placeholder,
        class: code ? "code" : undefined,
        spellcheck: "false",
      });
      area.value = initial;
      return area;
    }
    case "number":
    case "range": {
      const { min, max, step } = control;
      const element = h("input", {
        ...attributes,
        type: control.kind,
        min,
        max,
        step,
        placeholder,
        autocomplete: "off",
      });
      element.value = initial;
      return element;
    }
    case "checkbox":
      return checkbox({ on: "true", off: "false" }, initial, attributes);
    case "switch":
      return checkbox({ on: control.on, off: "" }, initial, attributes);
    case "select": {
      const options = control.options.map(({ value, label }) => h("option", { value }, label));
      const element = h("select", attributes, ...options);
      element.value = initial;
      return element;
    }
  }
}

/** @param texts what it stands for when it is checked, and when it is not */
function checkbox(
  { on, off }: { readonly on: string; readonly off: string },
  initial: string,
  attributes: Record<string, string | undefined>,
): HTMLInputElement {
  const checked = initial === on;
  return h("input", { ...attributes, type: "checkbox", checked, "data-on": on, "data-off": off });
}

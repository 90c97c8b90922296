/** The models of a file as clients of other APIs name them: its components, and its workflows that take what is said. */
import packageJson from "../../../package.json" with { type: "json" };
import { createHash } from "node:crypto";
import { nearestName } from "../../base/nearest-name.ts";
import { acceptedInputs } from "../../compose/analysis/accepted-inputs.ts";
import { modelKey } from "../../compose/analysis/model-key.ts";
import {
  allComponents,
  anonymousIds,
  type ComposeDefinition,
  type ModelComponent,
  type WorkflowDefinition,
} from "../../compose/definition/definition.ts";
import { publicWorkflows } from "../bodies.ts";
import { HttpError } from "../http-error.ts";
import { redactPaths } from "../redact-paths.ts";

/** Something that answers under the name of a model. */
export type ApiModel =
  | { readonly kind: "component"; readonly id: string; readonly component: ModelComponent }
  | {
      readonly kind: "workflow";
      readonly id: string;
      readonly workflow: WorkflowDefinition;
      /** Whether a field of its input is read. */
      readonly takes: (field: string) => boolean;
    };

/** The models of a definition by their ids. */
export class ModelCatalog {
  /** All models, each once, under the id that comes first. */
  readonly models: readonly ApiModel[];
  readonly #byId = new Map<string, ApiModel>();

  /**
   * A component is known by its id, and by its model's name where no other has that model; one without an id of its own by
   * the model's name alone. Where two things have one name, the first of this order has it: ids of components, names of
   * models, ids of workflows.
   */
  constructor(definition: ComposeDefinition) {
    const components = allComponents(definition).filter((component) => component.type === "model");
    const isNamed = ({ id }: ModelComponent): boolean => id !== anonymousIds.component;
    const named = components.filter(isNamed);
    for (const component of named) {
      this.#add({ kind: "component", id: component.id, component });
    }
    const countOf = (name: string): number => components.filter(({ model }) => model.name === name).length;
    for (const component of components) {
      const { name } = component.model;
      if (!isNamed(component) || countOf(name) === 1) {
        // A folder's place on this machine is nobody's business.
        this.#add({ kind: "component", id: redactPaths(name), component });
      }
    }
    const workflows = publicWorkflows(definition).filter(({ id }) => id !== anonymousIds.workflow);
    for (const workflow of workflows) {
      const inputs = acceptedInputs(definition, workflow);
      const takes = (field: string): boolean => inputs === undefined || inputs.has(field);
      if (takes("messages") || takes("prompt")) {
        this.#add({ kind: "workflow", id: workflow.id, workflow, takes });
      }
    }
    const seen = new Set<ModelComponent | WorkflowDefinition>();
    this.models = [...this.#byId.values()].filter((model) => {
      const thing = model.kind === "component" ? model.component : model.workflow;
      return !seen.has(thing) && seen.add(thing);
    });
  }

  /** @throws HttpError 404 for an id that no model has */
  find(id: string): ApiModel {
    const model = this.#byId.get(id);
    if (model !== undefined) {
      return model;
    }
    const ids = this.models.map((known) => known.id);
    const near = nearestName(id, ids);
    const remedy = near === undefined ? `Models: ${ids.join(", ") || "none"}.` : `Did you mean "${near}"?`;
    const details = { field: "model", reason: "unknown-model" } as const;
    throw new HttpError(404, `There is no model "${id}". ${remedy}`, details);
  }

  #add(model: ApiModel): void {
    if (!this.#byId.has(model.id)) {
      this.#byId.set(model.id, model);
    }
  }
}

/** A short text that changes whenever the same request with the same seed may give another text. */
export function fingerprint(model: ApiModel): string {
  const what = model.kind === "component" ? modelKey(model.component) : model.workflow.id;
  const hash = createHash("sha256").update(`${packageJson.version} ${what}`).digest("hex");
  return `fp_${hash.slice(0, 12)}`;
}

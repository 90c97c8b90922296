/** Finds which of the cached models a command line means. */
import type { CachedRepository } from "../../../models/hub/cache.ts";
import { cachedModels } from "../../../models/hub/cache.ts";
import type { CachedModel } from "../../../models/hub/cached-models.ts";
import { locateModel } from "../../../models/hub/resolve.ts";
import { ModelComposeError } from "../../../base/errors.ts";
import { nearestName } from "../../../base/nearest-name.ts";
import type { ModelsFlags } from "./flags.ts";

/**
 * The part of the cache that holds a model.
 *
 * @throws ModelComposeError `not-found` for a model that is not in the cache, `invalid-argument` for a folder
 */
export async function cachedRepository(id: string, { cacheDir }: ModelsFlags): Promise<CachedRepository> {
  const location = await locateModel(id, { cacheDirectory: cacheDir });
  if (location.kind !== "hub") {
    const what =
      location.kind === "bundled" ? "came with this program" : `is the folder "${location.directory}"`;
    throw new ModelComposeError("invalid-argument", `The model "${id}" ${what}: it is not in the cache.`);
  }
  const { repository } = location;
  const cached = await cachedModels(repository.cacheDirectory);
  if (cached.includes(id)) {
    return repository;
  }
  const near = nearestName(id, cached);
  throw new ModelComposeError("not-found", `The cache "${repository.cacheDirectory}" has no model "${id}".`, {
    remedy: near === undefined ? "model-compose models list shows what there is." : `Did you mean "${near}"?`,
  });
}

/** The commits that a revision names: a branch, a tag, a commit or its beginning; without a revision, all. */
export function selectCommits(
  models: readonly CachedModel[],
  revision: string | undefined,
): readonly CachedModel[] {
  if (revision === undefined) {
    return models;
  }
  const named = models.filter(({ revisions, commit }) => revisions.includes(revision) || commit === revision);
  const found = named.length > 0 ? named : models.filter(({ commit }) => commit.startsWith(revision));
  const [only] = found;
  if (only !== undefined && found.length === 1) {
    return found;
  }
  const there = models.map(({ revisions, commit }) => [...revisions, commit.slice(0, 7)].join(" = "));
  const id = models[0]?.repository.id ?? "the model";
  throw new ModelComposeError(
    "not-found",
    `${found.length === 0 ? "No" : "More than one"} cached commit of "${id}" is "${revision}"; there are: ${there.join(", ")}.`,
    { remedy: "Name one of them." },
  );
}

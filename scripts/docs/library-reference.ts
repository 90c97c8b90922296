/** The reference of the library, as Markdown, which TypeDoc makes of the comments in the sources. */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Application, LogLevel, type TypeDocOptions } from "typedoc";
import type { PluginOptions } from "typedoc-plugin-markdown";

const root = path.resolve(import.meta.dirname, "../..");

/** What the reference as Markdown and the site have in common. */
export const typeDocOptions = {
  entryPoints: [path.join(root, "scripts/docs/exports.ts")],
  tsconfig: path.join(root, "tsconfig.json"),
  readme: "none",
  disableGit: true,
  disableSources: true,
  excludeInternal: true,
  excludePrivate: true,
  // What Node's own classes have stands in Node's documentation.
  excludeExternals: true,
  groupOrder: ["Functions", "Variables", "Interfaces", "Type Aliases", "Classes"],
  // `npm run types` checks them.
  skipErrorChecking: true,
  sort: ["source-order"],
  logLevel: LogLevel.Warn,
  validation: {
    notDocumented: true,
    notExported: true,
    invalidLink: true,
    invalidPath: true,
    rewrittenLink: true,
  },
} as const satisfies Partial<TypeDocOptions>;

/** @throws Error where something that the library exports has no comment; what, TypeDoc has written to the terminal */
export async function libraryReference(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "model-compose-docs-"));
  try {
    const options: Partial<TypeDocOptions & PluginOptions> = {
      ...typeDocOptions,
      plugin: ["typedoc-plugin-markdown"],
      out: folder,
      outputFileStrategy: "modules",
      entryFileName: "library.md",
      hidePageHeader: true,
      hidePageTitle: true,
      hideBreadcrumbs: true,
      useCodeBlocks: true,
      expandParameters: true,
      parametersFormat: "table",
      interfacePropertiesFormat: "table",
      classPropertiesFormat: "table",
      typeAliasPropertiesFormat: "table",
      tableColumnSettings: {
        hideInherited: true,
        hideOverrides: true,
        hideModifiers: true,
        hideDefaults: true,
        hideSources: true,
      },
    };
    const app = await Application.bootstrapWithPlugins(options);
    const project = await app.convert();
    if (project === undefined) {
      throw new Error("TypeDoc cannot read the library.");
    }
    app.validate(project);
    if (app.logger.hasErrors() || app.logger.hasWarnings()) {
      throw new Error("The library's comments have gaps, which stand above: every export says what it is.");
    }
    await app.generateOutputs(project);
    return await readFile(path.join(folder, "library.md"), "utf8");
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

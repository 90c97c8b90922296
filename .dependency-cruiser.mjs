/**
 * The rules of which file may import which; `npm run arrows` checks them. Imports of types count like all others. Tests
 * are exempt, and so are bench, test and scripts, which import anything. `test/arrows.test.ts` shows that every rule can
 * fail.
 */

/** The rooms from the bottom up: a room imports itself and what is below it. Rooms on one line do not know each other. */
const FLOORS = [
  ["base"],
  ["kernels"],
  ["runtime"],
  ["models"],
  ["compose", "ai"],
  ["server"],
  ["webui", "registry"],
  ["cli"],
];

const ROOMS = FLOORS.flat();
const TESTS = "\\.test(-d)?\\.ts$";

const room = (...names) => `^src/(${names.join("|")})/`;

const arrows = FLOORS.flatMap((floor, height) =>
  floor.map((name) => ({
    name: `${name}-imports-only-what-is-below`,
    comment: `src/${name} imports itself and the rooms below it.`,
    from: { path: room(name), pathNot: TESTS },
    to: { path: "^src/", pathNot: room(name, ...FLOORS.slice(0, height).flat()) },
  })),
);

/**
 * The folders of compose from the bottom up: a template is text, a source a tree of templates, a definition what the tree
 * means.
 */
const COMPOSE_FLOORS = ["template", "source", "definition", "analysis", "run"];

const composeArrows = COMPOSE_FLOORS.slice(0, -1).map((name, height) => ({
  name: `compose-${name}-imports-nothing-above`,
  comment: `src/compose/${name} imports itself and what is before it in COMPOSE_FLOORS.`,
  from: { path: `^src/compose/${name}/`, pathNot: TESTS },
  to: { path: `^src/compose/(${COMPOSE_FLOORS.slice(height + 1).join("|")})/` },
}));

/** Modules of Node.js by which a program reaches the machine in a way that browsers have not. */
const MACHINE = "^(node:)?(fs|fs/promises|worker_threads|v8)$";

/** The files that read or write files outside of runtime/platform, which has what models and tensors need. */
const FILE_USERS = [
  // These read the user's compose files and .env files, at once before anything runs.
  "^src/compose/load\\.ts$",
  "^src/compose/source/environment-files\\.ts$",
  "^src/compose/definition/read-model\\.ts$",
  // This reads the API key's file.
  "^src/server/api-key\\.ts$",
  // This reads the page's own files, beside the program.
  "^src/webui/page-files\\.ts$",
  // These keep which servers run, and their logs: files of rights and lifetimes of their own.
  "^src/registry/(launch|project|registration|state-directory)\\.ts$",
  // This changes the first line of the installed command.
  "^src/cli/install\\.ts$",
  // These write results that go to a file, and show or remove logs.
  "^src/cli/commands/(run|logs|down)\\.ts$",
  // This writes the file that a person asks for, this the models of zeros that a machine is measured with.
  "^src/cli/commands/init\\.ts$",
  "^src/cli/doctor/device-speed\\.ts$",
  // These keep conversations, and read the files that messages name.
  "^src/cli/chat/(store|files)\\.ts$",
  // This reads inputs of workflows that stand in files.
  "^src/cli/input\\.ts$",
];

const rules = [
  ...arrows,
  ...composeArrows,
  {
    name: "index-imports-only-the-library",
    comment: "src/index.ts is the library's front door: models, and what its signatures name.",
    from: { path: "^src/index\\.ts$" },
    to: { path: "^src/", pathNot: room("models", "runtime", "base") },
  },
  {
    name: "every-file-has-a-room",
    comment: "A new folder in src needs its place in FLOORS.",
    from: { path: "^src/", pathNot: [room(...ROOMS), "^src/index\\.ts$", TESTS] },
    to: {},
  },
  {
    name: "the-page-stands-alone",
    comment:
      "What runs in the browser imports nothing of the program: neither other rooms nor its own server.",
    from: { path: "^src/webui/(client|page)/", pathNot: TESTS },
    to: { path: "^src/", pathNot: "^src/webui/(client|page)/" },
  },
  {
    name: "the-page-runs-in-browsers",
    comment: "No browser has the modules of Node.js.",
    from: { path: "^src/webui/(client|page)/", pathNot: TESTS },
    to: { dependencyTypes: ["core"] },
  },
  {
    name: "the-client-knows-no-page",
    comment: "webui/client is logic that tests run without a DOM.",
    from: { path: "^src/webui/client/", pathNot: TESTS },
    to: { path: "^src/webui/page/" },
  },
  {
    name: "nobody-imports-tools-and-tests",
    comment: "bench, test and scripts import the program, never the other way round; nothing imports a test.",
    from: { path: "^src/", pathNot: TESTS },
    to: { path: ["^(bench|test|scripts)/", TESTS] },
  },
  {
    name: "devices-behind-two-doors",
    comment: "Who needs a device asks runtime/devices.ts, which chooses it; runtime/measure.ts times both.",
    from: {
      path: "^src/",
      pathNot: ["^src/runtime/(wasm|webgpu)/", "^src/runtime/(devices|measure)\\.ts$", TESTS],
    },
    to: { path: "^src/runtime/(wasm|webgpu)/" },
  },
  {
    name: "devices-do-not-know-each-other",
    comment: "What both devices need is the runtime's.",
    from: { path: "^src/runtime/(wasm|webgpu)/", pathNot: TESTS },
    to: { path: "^src/runtime/(wasm|webgpu)/", pathNot: "^src/runtime/$1/" },
  },
  {
    name: "plans-know-no-gpu",
    comment: "webgpu/plan is pure: what it decides can be looked at without a device.",
    from: { path: "^src/runtime/webgpu/plan/", pathNot: TESTS },
    to: { path: ["^src/runtime/webgpu/run/", "^src/runtime/platform/"] },
  },
  {
    name: "the-machine-behind-one-door",
    comment:
      "Files, worker threads and V8's flags are runtime/platform's; FILE_USERS says who else, and why.",
    from: { path: "^src/", pathNot: ["^src/runtime/platform/", ...FILE_USERS, TESTS] },
    to: { path: MACHINE },
  },
  {
    name: "file-users-use-files-only",
    comment: "Who may use files may not therefore start threads or change V8.",
    from: { path: FILE_USERS },
    to: { path: MACHINE, pathNot: "^(node:)?fs(/promises)?$" },
  },
  {
    name: "dawn-behind-one-door",
    comment: "The package webgpu loads native code: runtime/platform/gpu.ts alone imports it.",
    from: { path: "^src/", pathNot: ["^src/runtime/platform/gpu\\.ts$", TESTS] },
    to: { path: "(^|/)node_modules/webgpu/" },
  },
  {
    name: "no-circles",
    comment: "Two files that need each other are one file, or need a third.",
    from: { pathNot: TESTS },
    to: { circular: true },
  },
  {
    name: "every-import-is-found",
    comment:
      "These rules do not see an import that leads nowhere. Kernels are built by npm run build:kernels.",
    from: {},
    to: { couldNotResolve: true },
  },
];

export default {
  forbidden: rules.map((rule) => ({ ...rule, severity: "error" })),
  options: {
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    // AssemblyScript resolves imports in its own way; asc checks it.
    exclude: { path: "\\.as\\.ts$" },
    // Entries of packages are found as Node.js finds them.
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "node", "default", "types"],
    },
  },
};

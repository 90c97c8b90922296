/**
 * Lets tests wait for a GPU in software without a core of their own. Dawn's Node binding polls with `setImmediate` for as long as
 * a promise of its own is pending, tens of thousands of times a second: a third of what tests on SwiftShader took. Here it sleeps
 * a millisecond every few polls. Runs in every process of tests, before their modules.
 */
const POLLS_AT_ONCE = 4;

const { setImmediate: immediate, setTimeout: later } = globalThis;
let polls = 0;

/** Whether a callback is the binding's: a native function without a name or parameters. What resolves a promise has one. */
function isPoll(callback: unknown): callback is () => void {
  return (
    typeof callback === "function" &&
    callback.name === "" &&
    callback.length === 0 &&
    Function.prototype.toString.call(callback).endsWith("{ [native code] }")
  );
}

// Where test files share a process, this module runs once a file.
const PACED = Symbol.for("model-compose: paced setImmediate");
if (!Object.hasOwn(globalThis, PACED)) {
  Object.assign(globalThis, { [PACED]: true });
  globalThis.setImmediate = new Proxy(immediate, {
    apply(target, self, args: unknown[]): unknown {
      const [callback] = args;
      return isPoll(callback) && ++polls % POLLS_AT_ONCE === 0
        ? later(callback, 1)
        : Reflect.apply(target, self, args);
    },
  });
}

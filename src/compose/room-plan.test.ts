import { expect, test } from "vitest";
import { planRoom, type RoomState, type Tenant } from "./room-plan.ts";

interface Named extends Tenant {
  readonly name: string;
}

let uses = 0;
const tenant = (name: string, bytes: number, more: Partial<Tenant> = {}): Named => ({
  name,
  bytes,
  state: "idle",
  priority: 0,
  used: ++uses,
  isLeaving: false,
  ...more,
});

/** What is planned where a budget of 10 is held by tenants, in a word and names. */
function planned(bytes: number, tenants: readonly Named[], more: Partial<RoomState<Named>> = {}): string {
  const left = 10 - tenants.reduce((sum, one) => sum + one.bytes, 0);
  const plan = planRoom({ bytes, left, machineBytes: 0, available: Infinity, tenants, ...more });
  return [plan.kind, ...("tenants" in plan ? plan.tenants.map(({ name }) => name) : [])].join(" ");
}

test("idle ones go, the lowest priority first, then who was used first, and no more than must", () => {
  const a = tenant("a", 2, { priority: 1 });
  const b = tenant("b", 3);
  const c = tenant("c", 2);
  expect(planned(3, [a, b, c])).toBe("free");
  expect(planned(4, [a, b, c])).toBe("unload b");
  expect(planned(7, [a, b, c])).toBe("unload b c");
  expect(planned(10, [a, b, c])).toBe("unload b c a");
  // b alone is too little and b with d enough; d alone is enough too.
  const d = tenant("d", 5);
  expect(planned(4, [tenant("small", 1), d, tenant("e", 4)])).toBe("unload d");
});

test("who works does not go, and nobody goes in vain while it is waited for", () => {
  const idle = tenant("idle", 2);
  const first = tenant("first", 4, { state: "used" });
  const second = tenant("second", 4, { state: "used" });
  expect(planned(2, [idle, first, second])).toBe("unload idle");
  expect(planned(6, [idle, first, second])).toBe("wait first");
  expect(planned(10, [idle, first, second])).toBe("wait first second");
  expect(planned(11, [idle, first, second])).toBe("never");
  // Who was chosen stays chosen, whatever is used meanwhile.
  expect(planned(6, [idle, first, { ...second, isLeaving: true }])).toBe("wait second");
});

test("what is going anyway is waited for, and what is on its way does not count", () => {
  const going = tenant("going", 4, { state: "going" });
  const idle = tenant("idle", 4);
  expect(planned(6, [going, idle])).toBe("wait going");
  expect(planned(10, [going, idle])).toBe("unload idle");
  expect(planned(10, [going, tenant("coming", 4, { state: "loading" })])).toBe("never");
});

test("the machine's memory counts beside the budget", () => {
  const machine = { left: Infinity, machineBytes: 5 };
  const idle = tenant("idle", 2);
  expect(planned(9, [idle], { ...machine, available: 5 })).toBe("free");
  expect(planned(9, [idle], { ...machine, available: 4 })).toBe("unload idle");
  expect(planned(9, [idle], { ...machine, available: 2 })).toBe("never");
  expect(planned(9, [{ ...idle, state: "used" }], { ...machine, available: 3 })).toBe("wait idle");
});

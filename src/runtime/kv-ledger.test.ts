import { expect, test } from "vitest";
import { KvLedger, unitsOf } from "./kv-ledger.ts";

test("sequences take whole units", () => {
  expect([0, 1, 64, 65, 129].map((positions) => unitsOf({ unit: 64 }, positions))).toEqual([0, 1, 1, 2, 3]);
});

test("no more is promised than there is; what is refused changes nothing", () => {
  const ledger = new KvLedger(3, { unit: 64, units: 4 });
  ledger.promise(new Map([[0, 128]]));
  ledger.promise(
    new Map([
      [1, 64],
      [2, 1],
    ]),
  );
  const more = (): void => ledger.promise(new Map([[2, 65]]));
  expect(more).toThrow("would take 320 positions of a KV cache of 256");
  ledger.promise(new Map([[0, 65]])); // as much as before
  expect(more).toThrow();
  ledger.promise(new Map([[0, 64]]));
  more();
});

import { expect, test } from "vitest";
import { tabLabels } from "./tab-labels.ts";

test("a tab has the workflow's title, else its name, else its id; the same words are told apart", () => {
  expect(
    tabLabels([
      { workflow_id: "a", name: "A name", title: "A title" },
      { workflow_id: "b", name: "A name" },
      { workflow_id: "c" },
      { workflow_id: "d", title: "Twice" },
      { workflow_id: "Twice" },
    ]),
  ).toEqual(["A title", "A name", "c", "Twice (d)", "Twice"]);
});

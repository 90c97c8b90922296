/** What Python objects a checkpoint's pickle may hold, and what becomes of them; pickle.test.ts has the format itself. */
import { describe, expect, it } from "vitest";
import {
  assemble,
  global,
  int,
  pickle,
  storage,
  tensor,
  text,
  tuple,
} from "../../../../test/support/pickle.ts";
import { readWhole } from "../../../../test/support/tensor-bytes.ts";
import { archive, byName, readDict } from "../../../../test/support/torch-archive.ts";
import { readPytorchFile } from "./pytorch-file.ts";

describe("what a pickle may hold", () => {
  it.each<[string, Uint8Array, string]>([
    ["os.system", global("os", "system"), "os.system"],
    ["builtins.eval", assemble(text("builtins"), text("eval"), 0x93), "builtins.eval"],
    [
      "torch.storage._load_from_bytes",
      global("torch.storage", "_load_from_bytes"),
      "torch.storage._load_from_bytes",
    ],
    ["an INST of os.system", assemble("(", "ios\nsystem\n"), "os.system"],
    ["a member of an object's prototype", global("constructor", "constructor"), "constructor.constructor"],
    ["an allowed name in another module", global("torch._utils", "OrderedDict"), "torch._utils.OrderedDict"],
  ])("refuses %s by name", async (_what, code, name) => {
    await expect(readDict(["a", code])).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining(`asks for the Python object "${name}"`) as string,
    });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["NEWOBJ", assemble(global("collections", "OrderedDict"), ")", 0x81), /the instruction NEWOBJ/],
    ["OBJ", assemble("(", global("collections", "OrderedDict"), "o"), /the instruction OBJ/],
    ["INST of an allowed object", assemble("(", "icollections\nOrderedDict\n"), /the instruction INST/],
    ["EXT1", assemble(0x82, 1), /the instruction EXT1/],
    ["BUILD of a tensor", assemble(tensor(storage(), 0, [4], [1]), "}", "b"), /sets attributes of a tensor/],
    ["BUILD of an object", assemble(global("torch", "Size"), "}", "b"), /sets attributes of an object/],
  ])("refuses %s", async (_what, code, message) => {
    await expect(readDict(["a", code])).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(message) as string,
    });
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["a call of a tensor", assemble(tensor(storage(), 0, [4], [1]), ")", "R"), /calls an object/],
    [
      "a call of a type",
      assemble(global("torch", "FloatStorage"), ")", "R"),
      /calls "torch\.FloatStorage", which is no function/,
    ],
    ["a call of text", assemble(text("eval"), ")", "R"), /calls "eval"/],
    [
      "arguments that do not fit",
      assemble(global("torch._utils", "_rebuild_tensor_v2"), ")", "R"),
      /with 0 arguments/,
    ],
    [
      "a parameter of no tensor",
      assemble(global("torch._utils", "_rebuild_parameter"), tuple(int(1), int(2), int(3)), "R"),
      /that it does not take/,
    ],
    ["a tensor of no storage", tensor(int(3), 0, [4], [1]), /makes a tensor of the number 3/],
    [
      "a tensor beyond its storage",
      tensor(storage(), 1, [4], [1]),
      /does not lie within its storage of 4 elements/,
    ],
    ["strides beyond its storage", tensor(storage(), 0, [2, 2], [3, 1]), /does not lie within/],
    ["sizes beyond 2^53", tensor(storage(), 0, [2 ** 30, 2 ** 30], [0, 0]), /does not lie within/],
    [
      "a negative size",
      tensor(storage(), 0, [-1], [1]),
      /as a tensor's size a tuple of 1; expected at most 64 integers/,
    ],
    ["a negative stride", tensor(storage(), 3, [4], [-1]), /as a tensor's stride/],
    ["a negative offset", tensor(storage(), -1, [1], [1]), /offset the number -1/],
    ["fewer strides than sizes", tensor(storage(), 0, [2, 2], [1]), /strides \[1\]/],
    [
      "100 dimensions",
      tensor(storage(), 0, Array<number>(100).fill(1), Array<number>(100).fill(1)),
      /expected at most 64/,
    ],
    [
      "a storage of a function's type",
      storage({ type: global("torch", "Size") }),
      /a type that is an object/,
    ],
    ["a storage of negative size", storage({ elements: -4 }), /size the number -4/],
    [
      "a reference to a module",
      assemble(tuple(text("module"), int(1), int(2), int(3), int(4)), "Q"),
      /refers to "module"; expected a storage/,
    ],
    [
      "one storage of two sizes",
      tuple(storage(), storage({ elements: 3 })),
      /16 bytes of F32 and as 12 bytes of F32/,
    ],
    [
      "one storage of two types",
      tuple(storage(), storage({ type: global("torch", "IntStorage") })),
      /of F32 and as 16 bytes of I32/,
    ],
    [
      "a view beyond its storage",
      storage({ rest: [tuple(text("1"), int(2), int(3))] }),
      /a view that does not lie within/,
    ],
  ])("refuses %s", async (_what, code, message) => {
    await expect(readDict(["a", code])).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(message) as string,
    });
  });

  it("refuses a name that occurs twice, and one that is no text", async () => {
    const a = tensor(storage(), 0, [4], [1]);
    await expect(readDict(["a", a], ["a", a])).rejects.toThrow('sets the key "a" twice');
    await expect(readPytorchFile(archive(pickle("}", int(3), a, "s")))).rejects.toThrow(
      "a tensor whose name is the number 3",
    );
  });

  it("takes what Python 2 wrote: str of bytes, OrderedDict of pairs, views of storages", async () => {
    const view = storage({ rest: [tuple(text("view"), int(1), int(2))] });
    const old = assemble(
      global("torch._utils", "_rebuild_tensor"),
      tuple(view, int(0), tuple(int(2)), tuple(int(1))),
      "R",
    );
    const pairs = assemble(
      "]",
      "(",
      "]",
      "(",
      "U",
      1,
      "a",
      old,
      "e",
      "]",
      "(",
      "U",
      1,
      "b",
      tensor(storage(), 0, [4], [1]),
      "e",
      "e",
    );
    const bytes = pickle(global("collections", "OrderedDict"), pairs, 0x85, "R");
    const tensors = await byName(readPytorchFile(archive(bytes)));
    expect([...new Float32Array(readWhole(tensors.get("a")!).buffer)]).toEqual([2, 3]);
    expect([...new Float32Array(readWhole(tensors.get("b")!).buffer)]).toEqual([1, 2, 3, 4]);
  });
});

describe("what a hostile pickle makes it do", () => {
  it("is bounded where one list is given to many calls", async () => {
    const pairs = Array.from({ length: 20_000 }, (_, i) => assemble(int(i), "N", 0x86, "a"));
    const made = assemble(global("collections", "OrderedDict"), "h", 1, "R", "0");
    const bytes = pickle("]", ...pairs, 0x85, "q", 1, "0", ...Array<Uint8Array>(100).fill(made), "}");
    await expect(readPytorchFile(archive(bytes))).rejects.toThrow("OrderedDicts of more than 1000000 pairs");
  });
});

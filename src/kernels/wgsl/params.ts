/** The words of a uniform struct of scalars: alternating type and value, in the order of its members. */
export function params(...members: readonly ("u32" | "f32" | number)[]): Uint32Array {
  const view = new DataView(new ArrayBuffer(members.length * 2));
  for (let i = 0; i < members.length; i += 2) {
    const value = members[i + 1] as number;
    if (members[i] === "f32") {
      view.setFloat32(i * 2, value, true);
    } else {
      view.setUint32(i * 2, value, true);
    }
  }
  return new Uint32Array(view.buffer);
}

// The rows of a pass. Every kernel that needs a row's token, slot or position reads this buffer; the token choice writes it.
// Words: 0 rows R, 1 rows whose logits are wanted, 2 tokens of the encoder's input, which stay as they are while tokens are
// chosen, 3..7 unused, then four arrays of MAX_ROWS: tokens, slots, positions, logit rows.
fn rowCount() -> u32 { return rows[0]; }
fn logitRowCount() -> u32 { return rows[1]; }
fn sourceLength() -> u32 { return rows[2]; }
fn rowToken(r: u32) -> u32 { return rows[8u + r]; }
fn rowSlot(r: u32) -> u32 { return rows[8u + MAX_ROWS + r]; }
fn rowPosition(r: u32) -> u32 { return rows[8u + 2u * MAX_ROWS + r]; }
fn logitRow(i: u32) -> u32 { return rows[8u + 3u * MAX_ROWS + i]; }

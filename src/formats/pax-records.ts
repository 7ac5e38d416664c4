/**
 * The values of a pax header by their keys: records of `length key=value\n`, of which the length is that of the whole
 * record (POSIX.1-2017, pax, "pax Extended Header"). Undefined where the bytes are none; of a key that is given twice the
 * last counts.
 */
export function paxValues(bytes: Uint8Array): Map<string, string> | undefined {
  const values = new Map<string, string>();
  const all = Buffer.from(bytes);
  for (let start = 0; start < all.length;) {
    const space = all.indexOf(' ', start);
    const digits = all.toString('latin1', start, space === -1 ? start : Math.min(space, start + 8));
    const end = start + Number(digits);
    if (!/^\d+$/.test(digits) || end <= space + 1 || end > all.length || all[end - 1] !== 0x0a) {
      return undefined;
    }
    const record = all.toString('utf8', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals < 1) {
      return undefined;
    }
    values.set(record.slice(0, equals), record.slice(equals + 1));
    start = end;
  }
  return values;
}

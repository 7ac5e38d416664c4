/**
 * The name of an enum value that a caller sent, as the domain writes it (without the enum's prefix).
 * Undefined for UNSPECIFIED. A number that the contract does not know comes out as its digits, which
 * the domain refuses.
 *
 * @param values the generated enum object.
 */
export function enumName(
  values: Readonly<Record<string, number>>,
  value: number,
): string | undefined {
  if (value === 0) {
    return undefined;
  }
  return Object.keys(values).find((name) => values[name] === value) ?? String(value);
}

/** The names of several; UNSPECIFIED among them is refused by the domain under that name. */
export function enumNames(
  values: Readonly<Record<string, number>>,
  sent: readonly number[],
): string[] {
  return sent.map((value) => enumName(values, value) ?? 'UNSPECIFIED');
}

import { ScalarType, type DescMessage } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** A tag and a length have 5 bytes each at most, a number 10: what is longer is no head of a payload. */
const longestLead = 64;

/**
 * How many bytes of a message in protobuf's encoding stand before its payload: the field of bytes that makes up more than half
 * of it, in whatever message it lies. 0 where there is none; undefined where too little of it has come to tell.
 *
 * A hint, which nothing but speed may depend on.
 *
 * @param begin the first bytes of the message, as many as have come.
 * @param length bytes of the whole message.
 */
export function payloadLead(
  schema: DescMessage,
  begin: Uint8Array,
  length: number,
): number | undefined {
  const head = begin.subarray(0, Math.min(longestLead, length));
  const reader = new BinaryReader(head);
  try {
    for (let message = schema; reader.pos < head.byteLength;) {
      const [number, wireType] = reader.tag();
      if (wireType !== WireType.LengthDelimited) {
        reader.skip(wireType, number);
        continue;
      }
      const size = reader.uint32();
      const field = message.fields.find((one) => one.number === number);
      if (size <= length / 2) {
        reader.pos += size;
      } else if (field?.message !== undefined) {
        message = field.message;
      } else {
        return field?.scalar === ScalarType.BYTES ? reader.pos : 0;
      }
    }
  } catch {
    // Cut within a field, or not sound at all, which whoever decodes it will tell.
  }
  return head.byteLength < Math.min(longestLead, length) ? undefined : 0;
}

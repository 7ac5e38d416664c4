import { invalidField } from '../../domain/darkroom-error.ts';
import { quoted } from '../../domain/quoted.ts';

/** Deeper than anything that is asked for here. */
const maxDepth = 16;

/**
 * Reads JSON that can be read in one way only: a key that is there twice is refused, since of its two values
 * each reader takes another one (RFC 8259, section 4).
 *
 * @throws DarkroomError FIELD_INVALID for what is no JSON, for a key that is repeated, for what is nested too deeply.
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw invalidField('body', 'must be JSON, and cannot be read as that');
  }
  checkStructure(text);
  return value;
}

/** @param text sound JSON. */
function checkStructure(text: string): void {
  /** The keys of each object around; undefined for an array. */
  const around: (Set<string> | undefined)[] = [];
  let isKeyNext = false;
  for (let i = 0; i < text.length; i += 1) {
    switch (text[i]) {
      case '{':
      case '[':
        around.push(text[i] === '{' ? new Set() : undefined);
        isKeyNext = text[i] === '{';
        if (around.length > maxDepth) {
          throw invalidField('body', `must not be nested more than ${maxDepth} levels deep`);
        }
        break;
      case '}':
      case ']':
        around.pop();
        isKeyNext = false;
        break;
      case ',':
        isKeyNext = around.at(-1) !== undefined;
        break;
      case ':':
        isKeyNext = false;
        break;
      case '"': {
        const end = endOfString(text, i);
        if (isKeyNext) {
          addKey(around.at(-1), text.slice(i, end + 1));
        }
        i = end;
        break;
      }
      default:
    }
  }
}

/** Where the string ends that begins at `start`. */
function endOfString(text: string, start: number): number {
  let i = start + 1;
  while (text[i] !== '"') {
    i += text[i] === '\\' ? 2 : 1;
  }
  return i;
}

function addKey(keys: Set<string> | undefined, literal: string): void {
  const key = String(JSON.parse(literal));
  if (keys?.has(key) === true) {
    throw invalidField('body', `has the key ${quoted(key)} twice in one object; send it once`);
  }
  keys?.add(key);
}

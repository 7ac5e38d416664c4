import { z } from 'zod';

/** A setting of the service: its environment variable, what it may be, and what it is for. */
export interface SettingSpec<T> {
  readonly env: string;
  readonly schema: z.ZodType<T>;
  /** As it would be written in the environment; undefined where there is none. */
  readonly default: string | undefined;
  /** What is allowed, in words that complete "must be …". */
  readonly allowed: string;
  readonly description: string;
}

/** A setting that is like no other. */
export function setting<T>(spec: SettingSpec<T>): SettingSpec<T> {
  return spec;
}

/** A text that is not empty. */
export function text(env: string, fallback: string, description: string): SettingSpec<string> {
  return setting({
    env,
    schema: z.string().trim().min(1),
    default: fallback,
    allowed: 'a text that is not empty',
    description,
  });
}

/** A whole number within limits. */
export function wholeNumber(
  env: string,
  fallback: number,
  [min, max]: readonly [number, number],
  unit: string,
  description: string,
): SettingSpec<number> {
  return setting({
    env,
    schema: z
      .string()
      .regex(/^\d{1,16}$/)
      .transform(Number)
      .refine((value) => value >= min && value <= max),
    default: String(fallback),
    allowed: `a whole number from ${min} to ${max}${unit === '' ? '' : ` (${unit})`}`,
    description,
  });
}

/** One of a few words. */
export function oneOf<const T extends readonly [string, ...string[]]>(
  env: string,
  fallback: T[number],
  values: T,
  description: string,
): SettingSpec<T[number]> {
  return setting<T[number]>({
    env,
    schema: z.enum(values),
    default: fallback,
    allowed: `one of ${values.join(', ')}`,
    description,
  });
}

/** Texts separated by commas, each of which `isSound` takes; none by default. */
export function list(
  env: string,
  fallback: string,
  isSound: (entry: string) => boolean,
  allowed: string,
  description: string,
): SettingSpec<readonly string[]> {
  return setting({
    env,
    schema: z
      .string()
      .optional()
      .transform((value) =>
        (value ?? '')
          .split(',')
          .map((entry) => entry.trim())
          .filter((entry) => entry !== ''),
      )
      .refine((entries) => entries.every(isSound)),
    default: fallback === '' ? undefined : fallback,
    allowed,
    description,
  });
}

/** A text that need not be set. */
export function optional(
  env: string,
  allowed: string,
  description: string,
  isSound: (value: string) => boolean = () => true,
): SettingSpec<string | undefined> {
  return setting({
    env,
    schema: z.string().trim().min(1).refine(isSound).optional(),
    default: undefined,
    allowed,
    description,
  });
}

/** The path of a file, which need not be set. */
export function path(env: string, description: string): SettingSpec<string | undefined> {
  return optional(env, 'the path of a file', description);
}

/** The environment, as far as commands look at it. */
export type Environment = Readonly<Record<string, string | undefined>>;

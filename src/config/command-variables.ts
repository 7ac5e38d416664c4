/**
 * Variables that the command line reads: which service it calls, and as whom. The service itself takes no notice of them, so
 * that one shell may have both.
 */
export const commandVariables = [
  'DARKROOM_ENDPOINT',
  'DARKROOM_TOKEN',
  'DARKROOM_PROJECT',
  'DARKROOM_PROFILE',
  'DARKROOM_CA_FILE',
  'DARKROOM_CERT_FILE',
  'DARKROOM_KEY_FILE',
] as const;

/** The name of one of them. */
export type CommandVariable = (typeof commandVariables)[number];

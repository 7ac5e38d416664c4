/** What the client has on every platform. */
export * from './contract.ts';
export {
  DarkroomError,
  type ClientReason,
  type DarkroomErrorFacts,
  type DarkroomReason,
  type ErrorOrigin,
  type FieldViolation,
} from './client-error.ts';
export type { Credential, CredentialRequest } from './credentials.ts';
export type { ClientOptions, DarkroomClient } from './darkroom-client.ts';
export { defaultRetryPolicy, type RetryPolicy } from './retry-policy.ts';

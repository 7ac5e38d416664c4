import { SecretKeys } from '../../src/secrets/secret-keys.ts';

/** The keys of services that a test makes by itself. */
export const testSecretKeys = new SecretKeys([Buffer.alloc(32, 7)]);

import { userInfo } from 'node:os';
import type { TokenRecord } from '../identity/static-tokens/token-file.ts';
import { AuditFile } from '../server/audit/audit-file.ts';
import type { Environment } from './environment.ts';

/** Records what a command has done with a token. */
export interface TokenAudit {
  /** @returns what to say if it could not be recorded. */
  record(call: 'token create' | 'token revoke', token: TokenRecord): string | undefined;
}

/**
 * Opens the audit log of the service, if one is set, before anything is changed: what cannot be recorded is not done. Who
 * acts is the user of this machine, since a command shows no credential.
 *
 * @throws AuditFileError
 */
export function withTokenAudit<T>(environment: Environment, work: (audit: TokenAudit) => T): T {
  const path = environment['DARKROOM_AUDIT_FILE'];
  if (path === undefined || path === '') {
    return work({ record: () => undefined });
  }
  let isWritten = true;
  const file = new AuditFile(path, { error: () => (isWritten = false) });
  try {
    return work({
      record(call, token) {
        file.add(JSON.stringify(lineOf(call, token)));
        return isWritten
          ? undefined
          : `${path} could not be written: this is done, and not recorded there\n`;
      },
    });
  } finally {
    file.close();
  }
}

/** As the lines of the service, and of the token what says whom it stands for. */
function lineOf(call: string, token: TokenRecord): object {
  return {
    time: new Date().toISOString(),
    call: `darkroom ${call}`,
    code: 'OK',
    user: userInfo().username,
    peer: 'local',
    token_id: token.id,
    token_user: token.user,
    token_project: token.project,
    token_roles: token.roles,
    token_expires: token.expireTime,
    process: process.pid,
  };
}

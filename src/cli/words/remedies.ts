import type { ClientReason } from '../../client/exports.ts';
import type { FailureReason } from '../../domain/failure-reason.ts';

const callRemedies: Readonly<Record<string, string>> = {
  UNREACHABLE:
    'Is the service running there? darkroom doctor looks; --endpoint, DARKROOM_ENDPOINT or a profile say where it is.',
  CONNECTION_LOST: 'Try again; darkroom doctor tells whether the service is well.',
  TIMED_OUT: 'Try again; darkroom doctor tells whether the service is well.',
  TLS_FAILED:
    'Give the authority of its certificate by --ca-file or DARKROOM_CA_FILE, and call it by a name that is in the certificate.',
  FOREIGN_ANSWER: 'Something else answers there: look at the address and its port.',
  TLS_REQUIRED: 'It speaks TLS: write https in the endpoint.',
  CLIENT_CERTIFICATE_REFUSED:
    'Give a certificate that it takes, and its key, by DARKROOM_CERT_FILE and DARKROOM_KEY_FILE or in the profile.',
  HOST_NOT_ALLOWED:
    'Call it by a name that it knows, or have its operator add this one to DARKROOM_HOSTS.',
  CREDENTIAL_MISSING:
    'Give a token by DARKROOM_TOKEN, --token-file or darkroom profile add; an operator makes one by darkroom token create.',
  CREDENTIAL_INVALID: 'Get another token: this one is unknown there, or was taken back.',
  CREDENTIAL_EXPIRED: 'Get a new token: the time of this one is over.',
  ROLE_INSUFFICIENT: 'Ask for a token with a role that may.',
  PROJECT_NOT_ALLOWED: 'Leave --project away, or name the project that the token is for.',
  IMAGE_PROTECTED: 'To have it go all the same: darkroom edit <image> --no-protect, then again.',
  ETAG_MISMATCH: 'Somebody has changed it meanwhile: look at it, and try again.',
  QUOTA_EXCEEDED: 'Delete what is not needed, or ask an operator for a higher quota.',
  SOURCE_FORBIDDEN:
    'Its operator decides what imports may reach: DARKROOM_IMPORT_… in docs/settings.md.',
} satisfies Partial<Record<FailureReason | ClientReason, string>>;

/** What to do about a call that has failed; undefined where its message says all. */
export function callRemedy(reason: string): string | undefined {
  return Object.hasOwn(callRemedies, reason) ? callRemedies[reason] : undefined;
}

const bySending = 'Send the rest: the bytes that are stored are kept.';
const byFixedBytes = 'The bytes are not what they should be: look at the file, then send it anew.';
const byOperator = 'An operator has to look at the service; then send the rest.';
const bySource = 'Look at the source, then retry.';

/** What can be done about a fault of a task, by its reason. */
const faultRemedies: Readonly<Record<string, string>> = {
  CONNECTION_LOST: bySending,
  SERVICE_LOST: bySending,
  SERVER_DRAINING: bySending,
  CREDENTIAL_EXPIRED: `Get a new token. ${bySending}`,
  CREDENTIAL_INVALID: `Get another token. ${bySending}`,
  STREAM_IDLE: `Nothing came for too long: look whether the sender hangs. ${bySending}`,
  STREAM_TOO_SLOW: `Bytes came too slowly: look at the network of the sender. ${bySending}`,
  FRAME_ORDER: 'The client does not keep to the protocol: use another one, or have it mended.',
  FIELD_INVALID: 'The client does not keep to the protocol: use another one, or have it mended.',
  OFFSET_MISMATCH: bySending,
  CHUNK_TOO_LARGE: `Send smaller chunks. ${bySending}`,
  CHUNK_CHECKSUM_MISMATCH: `Bytes were altered on their way: mind the network and the memory of the sender. ${bySending}`,
  REPLAY_MISMATCH:
    'Other bytes came than before: has the file changed? Retry sends it from its first byte.',
  QUOTA_EXCEEDED: `The project is full: delete images, or ask for a higher quota. ${bySending}`,
  STORAGE_FULL: `The store is full: an operator has to make room. ${bySending}`,
  STORAGE_UNAVAILABLE: byOperator,
  STORED_BYTES_LOST:
    'Stored bytes have vanished: an operator has to look at the disk before the image is sent anew.',
  DATABASE_UNAVAILABLE: byOperator,
  INTERNAL: 'A defect of the service: report it with the id of the fault. Then send the rest.',
  STATEMENT_MISMATCH: 'The sender contradicts what it said before: send the whole image anew.',
  SIZE_UNSTATED: 'State the size of the image, and send it anew.',
  SIZE_SHORT:
    'Fewer bytes came than were stated: look whether the file is whole, then retry; the bytes that came are kept.',
  SIZE_EXCEEDED:
    'More bytes came than were stated or are allowed: look at the file, then send it anew.',
  DIGEST_MISMATCH: byFixedBytes,
  COMPRESSION_INVALID: byFixedBytes,
  FORMAT_MISMATCH:
    'It is another format than was said: state the right one by darkroom edit --disk-format, then retry.',
  FORMAT_UNSAFE:
    'The disk image refers to other files, or its header is not sane: convert it, as by qemu-img convert, and send that.',
  TASK_EXPIRED:
    'What was awaited did not come in time: retry, which goes on from the bytes that are stored.',
  IMAGE_DELETED: 'The image was deleted meanwhile: make a new one.',
  SOURCE_NAME_UNRESOLVED:
    'The name of the source is not known: look at the address, and at the DNS of the service. Then retry.',
  SOURCE_UNREACHABLE:
    'No connection to the source: look whether it runs, and whether a firewall is between. Then retry.',
  SOURCE_CONNECTION_LOST: bySource,
  SOURCE_TIMEOUT: 'The source is too slow to answer: look at it, then retry.',
  SOURCE_STALLED: 'The source stopped to send: look at it, then retry, which goes on where it was.',
  SOURCE_CUT_SHORT: 'The source ended too early: look whether it is whole, then retry.',
  SOURCE_HTTP_STATUS:
    'The source has refused it: look at the address and at its credentials, then import anew.',
  SOURCE_EMPTY: 'The source is empty: look at the address, then import anew.',
  SOURCE_NO_IMAGE:
    'There is a web page where the image should be: give the address of the file itself.',
  SOURCE_TLS_FAILED:
    'The certificate of the source is not taken: have it mended there, then retry.',
  SOURCE_REDIRECT_REFUSED: 'Give the address to which it leads in the end.',
  SOURCE_FORBIDDEN:
    'Imports may not go there: an operator decides that, by DARKROOM_IMPORT_… settings.',
  SOURCE_SCHEME_UNSUPPORTED: 'Give an http or https address.',
  SECRETS_UNREADABLE:
    'An operator has to give the service its key again (DARKROOM_SECRETS_KEY_FILE); then retry.',
  SOURCE_CHANGED: 'The source has changed while it was read: retry, which begins anew.',
  SOURCE_PROTOCOL_INVALID: 'The source answers with nonsense: look at it, then retry.',
  SOURCE_IMAGE_GONE: 'The image that was to be copied is gone: copy another one.',
} satisfies Partial<Record<FailureReason, string>>;

/** What can be done about a fault of a task; undefined for reasons of producers, whose messages have to say it. */
export function faultRemedy(reason: string): string | undefined {
  return Object.hasOwn(faultRemedies, reason) ? faultRemedies[reason] : undefined;
}

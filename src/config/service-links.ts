import { isIP } from 'node:net';

const isUrl = (value: string): boolean => /^(?:tcp|udp|sctp):\/\/\S+:\d{1,5}$/.test(value);
const isPort = (value: string): boolean => /^\d{1,5}$/.test(value);
const isAddress = (value: string): boolean => isIP(value) !== 0;
const isProtocol = (value: string): boolean => /^(?:tcp|udp|sctp)$/.test(value);

/** The variables of a Service, by the ends of their names, and what their values look like. */
const forms: readonly (readonly [name: RegExp, isValue: (value: string) => boolean])[] = [
  [/_SERVICE_HOST$/, isAddress],
  [/_SERVICE_PORT(?:_[A-Z0-9_]+)?$/, isPort],
  [/_PORT$/, isUrl],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)$/, isUrl],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_PROTO$/, isProtocol],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_PORT$/, isPort],
  [/_PORT_\d+_(?:TCP|UDP|SCTP)_ADDR$/, isAddress],
];

/**
 * Whether a variable is none of ours, though its name begins as ours do: Kubernetes gives every pod such links
 * to the Services of its namespace, among them one that is named `darkroom`, or `darkroom-` and more. Told by
 * name and value together, so that a slip of the pen in a setting is still found.
 */
export function isServiceLink(name: string, value: string): boolean {
  return (
    name.startsWith('DARKROOM_') && forms.some(([end, isValue]) => end.test(name) && isValue(value))
  );
}

/** The names of all service links of an environment, in alphabetical order. */
export function serviceLinksIn(env: Readonly<Record<string, string | undefined>>): string[] {
  return Object.entries(env)
    .filter(([name, value]) => isServiceLink(name, value ?? ''))
    .map(([name]) => name)
    .toSorted();
}

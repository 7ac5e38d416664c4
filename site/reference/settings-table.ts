import { connectionSettingSpecs } from '../../src/config/connection-settings.ts';
import { identitySettingSpecs } from '../../src/config/identity-settings.ts';
import { importSettingSpecs } from '../../src/config/import-settings.ts';
import { keystoneSettingSpecs } from '../../src/config/keystone-settings.ts';
import { requestSettingSpecs } from '../../src/config/request-settings.ts';
import type { SettingSpec } from '../../src/config/setting-spec.ts';
import { settingSpecs } from '../../src/config/settings.ts';
import { tlsSettingSpecs } from '../../src/config/tls-settings.ts';

/** The page that holds the tables, in the repository. */
export const settingsPage = 'docs/settings.md';

/** Settings that stand together, each under the first name that fits it. */
const groups: readonly (readonly [name: string, specs: object])[] = [
  ['TLS', tlsSettingSpecs],
  ['Connections', connectionSettingSpecs],
  ['Requests', requestSettingSpecs],
  ['Keystone', keystoneSettingSpecs],
  ['Who calls', identitySettingSpecs],
  ['Imports', importSettingSpecs],
  ['The service, images and tasks', settingSpecs],
];

const begin = '<!-- settings: begin. `npm run generate` writes this part from src/config. -->\n';
const end = '<!-- settings: end -->';

/**
 * The page with the tables of all settings as they are.
 *
 * @throws Error where the page does not say where they stand.
 */
export function withSettings(page: string): string {
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`${settingsPage} does not say by its comments where the settings stand`);
  }
  return `${before}${begin}${tables()}${end}${after}`;
}

function tables(): string {
  const specs: readonly SettingSpec<unknown>[] = Object.values(settingSpecs);
  const groupOf = ({ env }: SettingSpec<unknown>): string =>
    groups.find(([, ofGroup]) => envsOf(ofGroup).has(env))?.[0] ?? '';
  const byGroup = Map.groupBy(specs, groupOf);
  const [last = ''] = groups.at(-1) ?? [];
  // What every service has comes first, though it is what is left by the others.
  return [last, ...groups.map(([name]) => name).filter((name) => name !== last)]
    .map(
      (name) =>
        `\n## ${name}\n\n<!-- prettier-ignore -->\n| variable | default | allowed | what it is |\n|---|---|---|---|\n` +
        (byGroup.get(name) ?? []).map(row).join(''),
    )
    .join('')
    .concat('\n');
}

function envsOf(group: object): Set<string> {
  return new Set(
    Object.values(group as Record<string, SettingSpec<unknown>>).map(({ env }) => env),
  );
}

function row({ env, default: fallback, allowed, description }: SettingSpec<unknown>): string {
  const shown = fallback === undefined ? 'none' : `\`${fallback}\``;
  return `| \`${env}\` | ${shown} | ${allowed} | ${description} |\n`;
}

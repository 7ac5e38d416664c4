import { settingSpecs } from '../src/config/settings.ts';
import { failureReasons } from '../src/domain/failure-reason.ts';
import { placeOf } from './places.ts';
import { reasonAnchor } from './reference/comment-html.ts';
import { settingsPage } from './reference/settings-table.ts';

const settings = new Set<string>(Object.values(settingSpecs).map(({ env }) => env));

/** The anchor of a setting on its page. */
export function settingAnchor(env: string): string {
  return env.toLowerCase().replaceAll('_', '-');
}

/** Whether a text is the name of a setting. */
export function isSetting(text: string): boolean {
  return settings.has(text);
}

/**
 * Where a text in code leads from every page of the site, if it is a setting or a reason: a page and its anchor. In the
 * repository it is only told.
 */
export function placeOfTerm(text: string): readonly [page: string, anchor: string] | undefined {
  if (isSetting(text)) {
    return [placeOf(settingsPage) ?? '', settingAnchor(text)];
  }
  return Object.hasOwn(failureReasons, text) && text.includes('_')
    ? ['reference/reasons.html', reasonAnchor(text)]
    : undefined;
}

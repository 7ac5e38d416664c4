/** Part of `npm run generate`: writes the tables of the settings into their page. */
import { readFile, writeFile } from 'node:fs/promises';
import { settingsPage, withSettings } from './reference/settings-table.ts';

const page = new URL(`../${settingsPage}`, import.meta.url);
await writeFile(page, withSettings(await readFile(page, 'utf8')));

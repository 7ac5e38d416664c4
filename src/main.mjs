import { enableCompileCache } from 'node:module';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join } from 'node:path';

// What V8 has compiled, and Node has stripped of its types, is kept from start to start. Not in the common folder for
// temporary files that Node would take, where others may write, but beside the code. A folder that cannot be written is no
// fault: nothing is kept then. This file is JavaScript, since as TypeScript it would load the compiler at each start, for
// 0.2 s.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url)));

// One of several is started by the first of them.
const program = process.argv.includes('--member') && process.connected ? 'member' : 'service';

// The same code either way: reading it from 970 files takes a start 0.4 s longer than from the bundle.
const { currentBundle } = await import('./runtime/bundle.ts');
const bundle = currentBundle();
await (bundle === undefined
  ? import(`./${program}-process.ts`)
  : import(pathToFileURL(join(bundle, `${program}-process.js`)).href));

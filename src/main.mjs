import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// What Node has stripped of its types and V8 has compiled, of 970 modules, is kept from start to start: a start then
// takes 1.55 s of CPU in place of 2.3 (1.75 if this file were TypeScript, since it loads the compiler by itself).
// Not in the common folder for temporary files that Node would take, where others may write, but beside the code. A
// folder that cannot be written is no fault: nothing is kept then.
enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/compiled', import.meta.url)));

// One of several is started by the first of them.
await (process.argv.includes('--member') && process.connected
  ? import('./member-process.ts')
  : import('./service-process.ts'));

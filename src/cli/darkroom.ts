import { migrateCommand } from './migrate-command.ts';
import { failedResult, runCommand, type CommandResult } from './run-command.ts';

const [command, ...rest] = process.argv.slice(2);

async function run(): Promise<CommandResult> {
  if (command !== 'migrate-from-glance' || rest.includes('--help')) {
    return runCommand(process.argv.slice(2), process.env);
  }
  try {
    const exitCode = await migrateCommand(rest, process.env, process);
    return { exitCode, output: '', errors: '' };
  } catch (error) {
    return failedResult(error);
  }
}

const { exitCode, output, errors } = await run();
process.stdout.write(output);
process.stderr.write(errors);
process.exitCode = exitCode;

import type { Command } from 'commander';
import { duration, oneMore, parallel } from '../option-values.ts';
import { calling, examples, type Declarations } from './declaration.ts';

/** Declares what operators do beside the service. */
export function declareService(program: Command, declarations: Declarations): void {
  declareServing(program, declarations);
  declareTokens(program, declarations);
  declareMigration(program, declarations);
}

function declareServing(program: Command, declarations: Declarations): void {
  const serve = program
    .command('serve')
    .summary('run the service')
    .description(
      'Runs the service, from a checkout of Darkroom. What it is to do is said by its settings, which the README lists.',
    )
    .option('--host <address>', 'address to listen on (DARKROOM_HOST)')
    .option('--port <number>', 'port to listen on (DARKROOM_PORT)')
    .option('--data-dir <path>', 'folder of the data (DARKROOM_DATA_DIR)')
    .action(declarations.does(async () => (await import('../commands/serve.ts')).serve));
  examples(serve, ['darkroom serve --port 9090', 'on another port']);

  const doctor = program
    .command('doctor')
    .summary('look what is wrong, and what to do about it')
    .description(
      'Looks at the service that commands call and, where that is on this machine, at all that it needs: configuration, database, storage, free space, clock and port. Changes nothing. Ends with 1 where something is broken.',
    )
    .option('--json', 'as JSON')
    .action(declarations.does(async () => (await import('../commands/doctor.ts')).doctor));
  calling(doctor);
  examples(doctor, ['darkroom doctor', 'with the environment that the service is to have']);
}

function declareTokens(program: Command, declarations: Declarations): void {
  const token = program
    .command('token')
    .summary('make, list and revoke static tokens')
    .description(
      'Keeps the static tokens by which callers are known, in the file of DARKROOM_TOKENS_FILE or --file. A service that reads that file knows of a change within a second. What is done is recorded in DARKROOM_AUDIT_FILE, if that is set.',
    );
  const file = ['--file <path>', 'where the tokens are kept (DARKROOM_TOKENS_FILE)'] as const;

  const create = token
    .command('create')
    .summary('make a token and print it, once')
    .description('Makes a token and prints it, once.')
    .requiredOption('--user <name>', 'who the token is for')
    .requiredOption('--role <role>', 'reader, member, admin or service; may be repeated', oneMore)
    .option('--project <name>', 'whose project; a token that only acts as a service needs none')
    .option(
      '--expires-in <time>',
      'how long it holds, such as 90d; until it is revoked if not set',
      duration,
    )
    .option('--description <text>', 'what it is for')
    .option(...file)
    .action(
      declarations.does(async () => (await import('../token-command.ts')).createTokenCommand),
    );
  examples(create, [
    'darkroom token create --user ann --project garden --role member --expires-in 90d',
    '',
  ]);

  token
    .command('list')
    .summary('list the tokens')
    .description(
      'Lists the tokens: whose they are and how long they hold, and nothing that could be used.',
    )
    .option(...file)
    .option('--json', 'as JSON')
    .action(declarations.does(async () => (await import('../token-command.ts')).listTokensCommand));

  token
    .command('revoke')
    .summary('take a token back')
    .description('Takes a token back.')
    .argument('<id>', 'the id of the token; list shows it')
    .option(...file)
    .action(
      declarations.does(async () => (await import('../token-command.ts')).revokeTokenCommand),
    );
}

function declareMigration(program: Command, declarations: Declarations): void {
  const migrate = program
    .command('migrate-from-glance')
    .summary('copy the images of an OpenStack cloud')
    .description(
      "Copies images from Glance to Darkroom, and goes on where it was when it is run again. Glance is at --from, or where the catalog of the Keystone at OS_AUTH_URL says; its caller is known by OS_AUTH_TOKEN, or by OS_USERNAME, OS_PASSWORD and so on, as by OpenStack's clients. Darkroom's caller is known by the token in --token-file or DARKROOM_TOKEN, or, with --same-token, by that for Glance.",
    )
    .requiredOption('--to <url>', 'where Darkroom is')
    .option('--from <url>', 'where Glance is')
    .option('--token-file <path>', 'file with the token for Darkroom')
    .option('--same-token', 'the token for Glance is good for Darkroom, too')
    .option('--into-own-project', 'all images become those of the caller')
    .option('--image <id>', 'this image only; may be repeated', oneMore)
    .option('--owner <project>', 'images of this project only; may be repeated', oneMore)
    .option('--visibility <word>', 'images of this visibility only; may be repeated', oneMore)
    .option('--parallel <n>', 'how many at the same time, 1 to 99', parallel, 2)
    .option('--report <path>', 'file that tells what became of each')
    .option('--dry-run', 'copies nothing, and tells what would be')
    .action(declarations.does(async () => (await import('../migrate-command.ts')).migrateCommand));
  examples(migrate, [
    'darkroom migrate-from-glance --to http://127.0.0.1:8080 --dry-run',
    'what would be copied',
  ]);
}

import { Argument, type Command } from 'commander';
import { examples, type Declarations } from './declaration.ts';

/** Declares what sets the command line itself up. */
export function declareSetup(program: Command, declarations: Declarations): void {
  const profile = program
    .command('profile')
    .summary('keep addresses and tokens of services')
    .description(
      'Keeps which services are called, and as whom, in a file that only you may read. --endpoint, DARKROOM_ENDPOINT and DARKROOM_TOKEN go before it. A token of a profile is sent to its own service only.',
    );

  const add = profile
    .command('add')
    .summary('add a profile, or replace it')
    .description('Adds a profile, or replaces it. The first one is used from then on.')
    .argument('<name>')
    .requiredOption('--endpoint <url>', 'address of the service')
    .option('--token-stdin', 'keeps the token that comes on the standard input')
    .option('--token-file <path>', 'reads the token from this file, each time')
    .option('--project <name>', 'project to act for, as a service or an admin')
    .option('--ca-file <path>', 'authority of its certificate, as PEM')
    .option('--cert-file <path>', 'your own certificate, as PEM')
    .option('--key-file <path>', 'its key, as PEM')
    .action(declarations.does(async () => (await import('../commands/profiles.ts')).addProfile));
  examples(
    add,
    ['darkroom profile add home --endpoint http://127.0.0.1:8080', ''],
    ['darkroom profile add prod --endpoint https://images.example.com --token-stdin <token', ''],
  );

  profile
    .command('list')
    .summary('list the profiles')
    .description('Lists the profiles; the one in use has a star. No token is shown.')
    .option('--json', 'as JSON')
    .action(declarations.does(async () => (await import('../commands/profiles.ts')).listProfiles));

  profile
    .command('use')
    .summary('use a profile from now on')
    .description('Has commands use a profile from now on.')
    .argument('<name>')
    .action(declarations.does(async () => (await import('../commands/profiles.ts')).useProfile));

  profile
    .command('remove')
    .summary('forget a profile')
    .description('Forgets a profile, and its token.')
    .argument('<name>')
    .action(declarations.does(async () => (await import('../commands/profiles.ts')).removeProfile));
}

/** Declares completion in shells. */
export function declareCompletion(program: Command, declarations: Declarations): void {
  const completion = program
    .command('completion')
    .summary('completion for bash, zsh or fish')
    .description('Prints what a shell needs to complete commands, options and names of images.')
    .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
    .action(declarations.does(async () => (await import('../commands/completion.ts')).completion));
  examples(completion, ['source <(darkroom completion bash)', 'in ~/.bashrc']);

  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(
      declarations.does<[string[], object]>(async () => {
        const { complete } = await import('../commands/completion.ts');
        return (context, words) => complete(context, program, words);
      }),
    );
}

import { Argument, Option, type Command } from 'commander';
import {
  containerFormats,
  diskFormats,
  imageOrders,
  imageStates,
  outlooks,
  visibilities,
} from '../choices.ts';
import { byteSize, count, duration, keyValue, oneMore, wordsOf } from '../option-values.ts';
import { calling, examples, forPrograms, type Declarations } from './declaration.ts';

/** What an argument may be that says which image. */
const whichImage = 'name, id, or the beginning of an id';

/** Declares what is done with images. */
export function declareImages(program: Command, declarations: Declarations): void {
  declareTransfers(program, declarations);
  const images = program
    .command('images')
    .summary('list images')
    .description('Lists the images that you may see, newest first.')
    .addArgument(new Argument('[prefix]', 'beginning of their names'))
    .option(
      '--state <words>',
      `in one of these states: ${imageStates.join(', ')}`,
      wordsOf(imageStates),
    )
    .option(
      '--outlook <words>',
      `with one of these outlooks: ${outlooks.join(', ')}`,
      wordsOf(outlooks),
    )
    .option(
      '--disk-format <words>',
      'in one of these formats, such as qcow2,raw',
      wordsOf(diskFormats),
    )
    .option('--visibility <words>', `seen by: ${visibilities.join(', ')}`, wordsOf(visibilities))
    .option('--tag <tag>', 'with this tag; may be repeated', oneMore)
    .option('--property <key=value>', 'with this property; may be repeated', keyValue)
    .option('--owner <project>', 'of this project')
    .option('--hidden', 'those that are hidden, in place of those that are not')
    .addOption(new Option('--sort <order>', 'in this order').choices(imageOrders).default('newest'))
    .option('--limit <count>', 'how many at most', count, 100)
    .option('--wide', 'whole ids, and more columns')
    .action(declarations.does(async () => (await import('../commands/list-images.ts')).listImages));
  forPrograms(images, '{id} {name} {sizeBytes}');
  calling(images);
  examples(
    images,
    ['darkroom images debian', 'those whose names begin so'],
    ['darkroom images --outlook not-coming', 'those that will not come'],
    ["darkroom images --format '{id}\\t{name}'", 'two columns for a script'],
  );

  const image = program
    .command('image')
    .summary('tell all of an image')
    .description('Tells all of an image, why it is not coming where it is not, and its tasks.')
    .argument('<image>', whichImage)
    .action(declarations.does(async () => (await import('../commands/show-image.ts')).showImage));
  forPrograms(image, '{sha256}');
  calling(image);
  examples(
    image,
    ['darkroom image debian-12', 'by its name'],
    ['darkroom image 019abc12', 'by the beginning of its id'],
    ["darkroom image debian-12 --format '{sha256}'", 'its digest alone'],
  );

  const edit = program
    .command('edit')
    .summary('change an image')
    .description('Changes what is told of an image. What others change meanwhile is kept.')
    .argument('<image>', whichImage)
    .option('--name <name>', 'another name')
    .addOption(
      new Option('--disk-format <word>', 'its format, while it has no bytes').choices(diskFormats),
    )
    .addOption(
      new Option('--container-format <word>', 'what is around it').choices(containerFormats),
    )
    .addOption(new Option('--visibility <word>', 'who sees it').choices(visibilities))
    .option('--min-disk <size>', 'least disk that it needs, such as 20GiB', byteSize)
    .option('--min-ram <size>', 'least memory that it needs, such as 2GiB', byteSize)
    .option('--property <key=value>', 'sets a property; may be repeated', keyValue)
    .option('--drop-property <key>', 'takes a property away; may be repeated', oneMore)
    .option('--tag <tag>', 'adds a tag; may be repeated', oneMore)
    .option('--drop-tag <tag>', 'takes a tag away; may be repeated', oneMore)
    .option('--protect', 'it must not be deleted')
    .option('--no-protect', 'it may be deleted again')
    .option('--hide', 'lists leave it out')
    .option('--no-hide', 'lists show it again')
    .option('--deactivate', 'its bytes are kept from all but admins')
    .option('--no-deactivate', 'its bytes are given out again')
    .action(declarations.does(async () => (await import('../commands/edit-image.ts')).editImage));
  // commander takes what may be negated for true where it is not said.
  for (const flag of ['protect', 'hide', 'deactivate']) {
    edit.setOptionValue(flag, undefined);
  }
  forPrograms(edit, '{etag}');
  calling(edit);
  examples(
    edit,
    ['darkroom edit debian-12 --name debian-12-old --hide', 'out of the way'],
    ['darkroom edit debian-12 --tag lts --property os=debian', 'adds to what there is'],
  );

  const remove = program
    .command('delete')
    .summary('delete images')
    .description(
      'Deletes images and their bytes, after a question. A task that is bringing one fails.',
    )
    .argument('<image...>', whichImage)
    .option('-y, --yes', 'without a question')
    .action(
      declarations.does(async () => (await import('../commands/delete-images.ts')).deleteImages),
    );
  calling(remove);
  examples(remove, ['darkroom delete debian-11 debian-10', 'asks once for both']);
}

function declareTransfers(program: Command, declarations: Declarations): void {
  const upload = program
    .command('upload')
    .summary('bring an image in: a file, a pipe or an address')
    .description(
      'Brings an image in: a file, what is piped in (-), or by an address, which the service fetches itself. What is broken off, by Ctrl-C too, is gone on with by the same command.',
    )
    .argument('<source>', 'a file, - for the standard input, or an http or https address')
    .option('--name <name>', 'its name; that of the file if not set')
    .addOption(
      new Option(
        '--disk-format <word>',
        'its format, where its bytes or its name do not tell',
      ).choices(diskFormats),
    )
    .addOption(
      new Option('--container-format <word>', 'what is around it').choices(containerFormats),
    )
    .addOption(new Option('--visibility <word>', 'who sees it').choices(visibilities))
    .option('--min-disk <size>', 'least disk that it needs, such as 20GiB', byteSize)
    .option('--min-ram <size>', 'least memory that it needs, such as 2GiB', byteSize)
    .option('--property <key=value>', 'a property; may be repeated', keyValue)
    .option('--tag <tag>', 'a tag; may be repeated', oneMore)
    .option('--protect', 'it must not be deleted')
    .option(
      '--decompress',
      'the image is what is inside, as of names that end in .gz, .xz, .zst or .bz2',
    )
    .option('--no-decompress', 'the image is what comes, whatever its name')
    .option(
      '--size <size>',
      'its size: no other is taken; mind that a pipe that breaks looks like its end',
      byteSize,
    )
    .option('--sha256 <digest>', 'its sha256: no other is taken')
    .option('--sha512 <digest>', 'of an address: its sha512')
    .option(
      '--header <name=value>',
      'of an address: a header for it, such as Authorization; may be repeated',
      keyValue,
    )
    .option('--detach', 'of an address: does not wait for it')
    .option('--task <task>', 'goes on with the upload of this task')
    .option('--new', 'begins anew, though the same was begun before')
    .option(
      '--idle-timeout <time>',
      'how long its task waits for the next byte, such as 2h',
      duration,
    )
    .option('-q, --quiet', 'shows no progress')
    .action(declarations.does(async () => (await import('../commands/upload.ts')).upload));
  upload.setOptionValue('decompress', undefined);
  forPrograms(upload, '{id}');
  calling(upload);
  examples(
    upload,
    ['darkroom upload debian-12.qcow2', 'a file; once more if it was broken off'],
    [
      'qemu-img convert -O raw vm.vmdk /dev/stdout | darkroom upload - --name vm --disk-format raw',
      'a pipe',
    ],
    ['darkroom upload https://images.example.com/debian-12.qcow2', 'fetched by the service'],
  );

  const download = program
    .command('download')
    .summary('bring an image out into a file')
    .description(
      'Brings an image out into a file, which has its name when it is whole and its sha256 is right. What is broken off is gone on with by the same command.',
    )
    .argument('<image>', whichImage)
    .option(
      '-o, --output <path>',
      'where to; - for the standard output; as the image is called if not set',
    )
    .option('-f, --force', 'replaces a file that is there')
    .option('--parallel <count>', 'how many ranges at the same time', count)
    .option('-q, --quiet', 'shows no progress')
    .action(declarations.does(async () => (await import('../commands/download.ts')).download));
  calling(download);
  examples(
    download,
    ['darkroom download debian-12 -o debian.qcow2', 'into a file'],
    ['darkroom download debian-12 -o - | sha256sum', 'on to another program'],
  );
}

/** An entry of the sidebar. */
export interface Entry {
  /** What it is called there. */
  readonly label: string;
  /** Where it leads: a file of the repository, whose page it is, or a page that is generated, by its path on the site. */
  readonly to: string;
}

/** A part of the documentation, with what is in it. */
export interface Part {
  readonly name: string;
  /** What a reader finds in it. */
  readonly promise: string;
  readonly entries: readonly Entry[];
}

/** The first page. */
export const homeSource = 'docs/README.md';

/**
 * The documentation in its four parts. A page that stands nowhere here is on the site all the same, and found by the search
 * and by links.
 */
export const parts: readonly Part[] = [
  {
    name: 'Tutorial',
    promise: 'Learn by doing: from nothing to an image that survived a broken upload.',
    entries: [
      { label: 'A first image', to: 'docs/tutorial.md' },
      { label: 'In short', to: 'README.md' },
    ],
  },
  {
    name: 'How-to',
    promise: 'Get one thing done.',
    entries: [
      { label: 'Run it', to: 'docs/running.md' },
      { label: 'The console', to: 'docs/console.md' },
      { label: 'TLS and tokens', to: 'docs/how-to/tls-and-tokens.md' },
      { label: 'Import an image', to: 'docs/how-to/import-an-image.md' },
      { label: 'Publish from CI', to: 'docs/how-to/publish-from-ci.md' },
      { label: 'Back up', to: 'docs/how-to/back-up.md' },
      { label: 'Read a fault and act', to: 'docs/how-to/act-on-a-fault.md' },
      { label: 'Use the command line', to: 'docs/cli.md' },
      { label: 'Use the client library', to: 'docs/client.md' },
      { label: 'Follow a snapshot', to: 'docs/following-a-snapshot.md' },
      {
        label: 'Example: a compute service in TypeScript',
        to: 'examples/compute-service/README.md',
      },
      {
        label: 'Example: a compute service in Python',
        to: 'examples/compute-service-python/README.md',
      },
      { label: 'Example: a CI job', to: 'examples/ci-publish/README.md' },
      { label: 'Example: a page that uploads', to: 'examples/browser-upload/README.md' },
      { label: 'Switch a cloud over', to: 'docs/openstack.md#switching-a-cloud-over' },
    ],
  },
  {
    name: 'Reference',
    promise: 'Look it up: made from the contract and the code.',
    entries: [
      { label: 'The console', to: 'docs/console.md' },
      { label: 'The client library', to: 'docs/client.md' },
      { label: 'The command line', to: 'docs/cli.md' },
      { label: 'Commands', to: 'reference/commands.html' },
      { label: 'The contract', to: 'reference/index.html' },
      { label: 'Reasons', to: 'reference/reasons.html' },
      { label: 'Settings', to: 'docs/settings.md' },
      { label: 'Formats', to: 'docs/formats.md' },
      { label: 'OpenStack’s Image API', to: 'docs/openstack.md' },
      { label: 'The REST view', to: 'docs/rest-view.md' },
      { label: 'Tempest', to: 'docs/tempest.md' },
      { label: 'Changelog', to: 'CHANGELOG.md' },
    ],
  },
  {
    name: 'Explanation',
    promise: 'Understand why it is so.',
    entries: [
      { label: 'How a byte travels', to: 'docs/how-a-byte-travels.md' },
      { label: 'The upload protocol', to: 'docs/upload-protocol.md' },
      { label: 'The life of a task', to: 'docs/task-states.md' },
      { label: 'Imports', to: 'docs/imports.md' },
      { label: 'Security', to: 'docs/security.md' },
      { label: 'For readers of Nova', to: 'docs/nova.md' },
      { label: 'Advisories', to: 'docs/advisories.md' },
      { label: 'Benchmarks', to: 'docs/benchmarks.md' },
      { label: 'Architecture', to: 'docs/architecture.md' },
      { label: 'Decisions', to: 'docs/decisions/README.md' },
      { label: 'Contributing', to: 'CONTRIBUTING.md' },
    ],
  },
];

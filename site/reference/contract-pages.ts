import {
  ScalarType,
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  type DescService,
} from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel } from '@bufbuild/protobuf/wkt';
import { accessPolicy } from '../../src/access/policy.ts';
import { escapeHtml } from '../html.ts';
import type { Heading, Page } from '../page.ts';
import { contractPage } from '../places.ts';
import { commentHtml, firstSentence, type LinkOf } from './comment-html.ts';
import { anchorOf, besides, linksOf, shortName, typesOf } from './contract-names.ts';
import type { Contract } from './contract.ts';

/** A page for each file of the contract, and one that lists them. */
export function contractPages(contract: Contract): Page[] {
  const linkOf = linksOf(contract);
  return [
    overview(contract),
    ...contract.files.map((file) => new FilePage(contract, file, linkOf).page()),
  ];
}

/** What a file is about: its service, or what its first message or enum is called. */
export function subjectOf(file: DescFile): string {
  return file.services[0]?.name ?? file.messages[0]?.name ?? file.enums[0]?.name ?? file.name;
}

function overview(contract: Contract): Page {
  const sections = contract.files.map((file) => {
    const rows = [
      ...file.services.flatMap(({ methods }) =>
        methods.map((method): [string, string] => [method.name, contract.comment(method)]),
      ),
      ...typesOf(file)
        .filter((type) => !isOfMethod(type))
        .map((type): [string, string] => [shortName(type), contract.comment(type)]),
    ].map(
      ([name, comment]) =>
        `<tr><td><a href="${besides(file)}#${anchorOf(name)}"><code>${name}</code></a></td>` +
        `<td>${escapeHtml(firstSentence(comment))}</td></tr>`,
    );
    const name = subjectOf(file);
    const html =
      `<h2 id="${anchorOf(name)}"><a href="${besides(file)}">${name}</a></h2>\n` +
      table(['name', 'what it is'], rows);
    return { heading: { level: 2, text: name, slug: anchorOf(name) }, html };
  });
  return {
    path: 'reference/index.html',
    title: 'The contract',
    headings: sections.map(({ heading }) => heading),
    html:
      '<h1>The contract</h1>\n' +
      '<p>Every call, message and error, made from the comments in <code>proto/darkroom/v1</code>. The service speaks ' +
      'gRPC, gRPC-Web and Connect on one port, and tells its contract by reflection. What an error’s reason means stands ' +
      'in <a href="reasons.html">Reasons</a>.</p>\n' +
      sections.map(({ html }) => html).join('\n'),
  };
}

/** A request or an answer, which stands with its method. */
function isOfMethod(type: DescMessage | DescEnum): boolean {
  return type.file.services.some(({ methods }) =>
    methods.some(({ input, output }) => input === type || output === type),
  );
}

function table(heads: readonly string[], rows: readonly string[]): string {
  const cells = heads.map((head) => `<th scope="col">${head}</th>`).join('');
  return (
    '<div class="table" tabindex="0" role="group" aria-label="Table"><table>' +
    `<thead><tr>${cells}</tr></thead>\n<tbody>${rows.join('\n')}</tbody></table></div>`
  );
}

/** The page of one file of the contract, as it is written. */
class FilePage {
  readonly #contract: Contract;
  readonly #file: DescFile;
  readonly #linkOf: LinkOf;
  readonly #headings: Heading[] = [];

  constructor(contract: Contract, file: DescFile, linkOf: LinkOf) {
    this.#contract = contract;
    this.#file = file;
    // Not from a page to itself, which its comments name often.
    this.#linkOf = (name) => (linkOf(name) === besides(file) ? undefined : linkOf(name));
  }

  page(): Page {
    const title = subjectOf(this.#file);
    const parts = [
      `<h1>${title}</h1>`,
      ...this.#file.services.map((service) => this.#service(service)),
      ...typesOf(this.#file)
        .filter((type) => !isOfMethod(type))
        .map((type) => this.#heading(2, shortName(type)) + this.#type(type)),
    ];
    return {
      path: contractPage(`proto/${this.#file.name}.proto`),
      title,
      headings: this.#headings,
      html: parts.join('\n'),
    };
  }

  #heading(level: 2 | 3, text: string): string {
    const slug = anchorOf(text);
    this.#headings.push({ level, text, slug });
    return `<h${level} id="${slug}">${text} <a class="anchor" href="#${slug}" aria-label="Link to ${text}">#</a></h${level}>\n`;
  }

  #comment(of: Parameters<Contract['comment']>[0]): string {
    return commentHtml(this.#contract.comment(of), this.#linkOf);
  }

  #service(service: DescService): string {
    return `${this.#comment(service)}\n${service.methods.map((method) => this.#method(method)).join('\n')}`;
  }

  #method(method: DescMethod): string {
    const { input, output, parent, name, methodKind } = method;
    const stream = (streams: boolean, { name: type }: DescMessage): string =>
      `(${streams ? 'stream ' : ''}${type})`;
    const sends = methodKind === 'client_streaming' || methodKind === 'bidi_streaming';
    const isSent = methodKind === 'server_streaming' || methodKind === 'bidi_streaming';
    const rule = accessPolicy[`${parent.typeName}/${name}`];
    const who = rule?.who === 'everybody' ? 'everybody' : (rule?.who.join(', ') ?? 'nobody');
    const reads = method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
    return [
      this.#heading(2, name),
      `<pre tabindex="0" role="group" aria-label="Signature"><code>rpc ${name}${stream(sends, input)} returns ${stream(isSent, output)}</code></pre>`,
      `<p class="facts"><code>/${parent.typeName}/${name}</code>${reads ? ' · only reads, by GET too' : ''} · may be called by: ${who}, on ${escapeHtml(rule?.on ?? '')}</p>`,
      this.#comment(method),
      ...[input, output].map((message) => this.#heading(3, message.name) + this.#type(message)),
    ].join('\n');
  }

  #type(type: DescMessage | DescEnum): string {
    const comment = this.#comment(type);
    if (type.kind === 'enum') {
      const rows = type.values.map(
        (value) =>
          `<tr><td><code>${value.name}</code></td><td>${value.number}</td><td>${this.#comment(value)}</td></tr>`,
      );
      return `${comment}\n${table(['value', 'number', 'meaning'], rows)}`;
    }
    if (type.fields.length === 0) {
      return `${comment}\n<p>It has no fields.</p>`;
    }
    const rows = type.fields.map((field) => {
      const oneof =
        field.oneof === undefined
          ? ''
          : `<p class="facts">One of <code>${field.oneof.name}</code>: ${escapeHtml(firstSentence(this.#contract.comment(field.oneof)))}</p>`;
      return (
        `<tr><td><code>${field.name}</code></td><td>${field.number}</td><td>${this.#fieldType(field)}</td>` +
        `<td>${this.#comment(field)}${oneof}</td></tr>`
      );
    });
    return `${comment}\n${table(['field', 'number', 'type', 'meaning'], rows)}`;
  }

  #fieldType(field: DescField): string {
    switch (field.fieldKind) {
      case 'scalar':
        return `${field.proto.proto3Optional ? 'optional ' : ''}${scalarName(field.scalar)}`;
      case 'enum':
        return this.#typeLink(field.enum);
      case 'message':
        return this.#typeLink(field.message);
      case 'list':
        return `repeated ${this.#elementType(field.listKind === 'scalar' ? field.scalar : (field.message ?? field.enum))}`;
      case 'map':
        return `map of ${scalarName(field.mapKey)} to ${this.#elementType(field.mapKind === 'scalar' ? field.scalar : (field.message ?? field.enum))}`;
    }
  }

  #elementType(type: ScalarType | DescMessage | DescEnum | undefined): string {
    return typeof type === 'object' ? this.#typeLink(type) : scalarName(type);
  }

  #typeLink(type: DescMessage | DescEnum): string {
    const name = shortName(type);
    return this.#contract.files.includes(type.file)
      ? `<a href="${besides(type.file)}#${anchorOf(name)}">${name}</a>`
      : name;
  }
}

function scalarName(type: ScalarType | undefined): string {
  return type === undefined ? '' : ScalarType[type].toLowerCase();
}

import type { MetadefNamespaces } from '../../../metadefs/metadef-namespaces.ts';
import type { StreamPace } from '../../../uploads/receiving/stream-watchdog.ts';
import { sendJson, type HttpCall } from '../../http/http-endpoints.ts';
import { jsonBody } from '../json-body.ts';
import { linkTo } from '../link.ts';
import type { Place } from '../place.ts';
import { sendNothing, sendView } from '../rest-answer.ts';
import { namespaceIn, namespaceListRequest } from './metadef-request.ts';
import {
  namespacePath,
  namespacesPath,
  namespaceView,
  madeNamespaceView,
  wholeNamespaceView,
} from './metadef-view.ts';

/** What it takes to keep namespaces of metadata definitions. */
export interface NamespacePlacesParts {
  readonly metadefNamespaces: MetadefNamespaces;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
}

/** Namespaces of metadata definitions. */
export function namespacePlaces({
  metadefNamespaces: namespaces,
  pace,
}: NamespacePlacesParts): readonly Place[] {
  async function sendNamespaces(call: HttpCall): Promise<void> {
    const { query, context } = call;
    const request = namespaceListRequest(query);
    const found = await namespaces.list(context.caller, request);
    const first = new URLSearchParams(query);
    first.delete('marker');
    const next = new URLSearchParams(first);
    next.set('marker', found.at(-1)?.namespace.namespace ?? '');
    sendView(call, {
      namespaces: found.map((one) => wholeNamespaceView(one)),
      first: linkTo(namespacesPath, first),
      // As in Glance: where a page is full another may follow.
      next:
        found.length > 0 && found.length === request.limit
          ? linkTo(namespacesPath, next)
          : undefined,
      schema: '/v2/schemas/metadefs/namespaces',
    });
  }

  async function makeNamespace(call: HttpCall): Promise<void> {
    const { fields, entries } = namespaceIn(await jsonBody(call, pace));
    const made = await namespaces.create(call.context.caller, fields, entries);
    call.response.setHeader('cache-control', 'no-store');
    call.response.setHeader('location', namespacePath(made.namespace.namespace));
    sendJson(call.response, 201, madeNamespaceView(made));
  }

  async function sendNamespace(call: HttpCall): Promise<void> {
    const found = await namespaces.get(call.context.caller, namespaceOf(call));
    sendView(call, wholeNamespaceView(found, call.query.get('resource_type') ?? undefined));
  }

  async function changeNamespace(call: HttpCall): Promise<void> {
    const { fields } = namespaceIn(await jsonBody(call, pace));
    const changed = await namespaces.update(call.context.caller, namespaceOf(call), fields);
    sendView(call, namespaceView(changed));
  }

  async function deleteNamespace(call: HttpCall): Promise<void> {
    await namespaces.remove(call.context.caller, namespaceOf(call));
    sendNothing(call);
  }

  return [
    { path: namespacesPath, methods: { GET: sendNamespaces, POST: makeNamespace } },
    {
      path: `${namespacesPath}/:namespace`,
      methods: { GET: sendNamespace, PUT: changeNamespace, DELETE: deleteNamespace },
    },
  ];
}

/** The namespace that a path names. */
export function namespaceOf({ params }: HttpCall): string {
  return params['namespace'] ?? '';
}

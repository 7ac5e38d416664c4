import type { DarkroomError } from '../../../domain/darkroom-error.ts';
import type { MetadefEntries } from '../../../metadefs/metadef-entries.ts';
import { entryNotFound } from '../../../metadefs/metadef-errors.ts';
import type { MetadefEntry, MetadefKind } from '../../../records/metadef-entry.ts';
import type { StreamPace } from '../../../uploads/receiving/stream-watchdog.ts';
import { sendJson, type HttpCall } from '../../http/http-endpoints.ts';
import { jsonBody } from '../json-body.ts';
import type { Place, PlaceHandler } from '../place.ts';
import { sendNothing, sendView } from '../rest-answer.ts';
import { entryIn, pageOfEntries, tagsIn } from './metadef-request.ts';
import {
  associationView,
  namespacesPath,
  objectView,
  oldestFirst,
  prefixOf,
  propertiesView,
  propertyView,
  resourceTypeView,
  tagName,
  tagView,
  wholeObjectView,
} from './metadef-view.ts';
import { namespaceOf } from './namespace-places.ts';

/** What it takes to keep what namespaces have. */
export interface EntryPlacesParts {
  readonly metadefEntries: MetadefEntries;
  /** What clients must keep up that send a request. */
  readonly pace: StreamPace;
}

/** Objects, properties, tags and types of resources: what namespaces of metadata definitions have. */
export function entryPlaces({ metadefEntries: entries, pace }: EntryPlacesParts): readonly Place[] {
  const list = (call: HttpCall, kind: MetadefKind): Promise<readonly Readonly<MetadefEntry>[]> =>
    entries.list(call.context.caller, namespaceOf(call), kind);

  /** Adds what the body states. */
  const add =
    (kind: MetadefKind, view: EntryView): PlaceHandler =>
    async (call) => {
      const fields = entryIn(kind, await jsonBody(call, pace));
      const added = await entries.add(call.context.caller, namespaceOf(call), fields);
      sendMade(call, view(added, call));
    };

  const show =
    (kind: MetadefKind, view: EntryView): PlaceHandler =>
    async (call) => {
      const { caller } = call.context;
      sendView(call, view(await entries.get(caller, namespaceOf(call), kind, nameIn(call)), call));
    };

  const replace =
    (kind: MetadefKind, view: EntryView): PlaceHandler =>
    async (call) => {
      const fields = entryIn(kind, await jsonBody(call, pace));
      const { caller } = call.context;
      const changed = await entries.replace(caller, namespaceOf(call), nameIn(call), fields);
      sendView(call, view(changed, call));
    };

  const remove =
    (kind: MetadefKind): PlaceHandler =>
    async (call) => {
      await entries.remove(call.context.caller, namespaceOf(call), kind, nameIn(call));
      sendNothing(call);
    };

  const removeAll =
    (kind: MetadefKind): PlaceHandler =>
    async (call) => {
      await entries.removeAll(call.context.caller, namespaceOf(call), kind);
      sendNothing(call);
    };

  async function sendObjects(call: HttpCall): Promise<void> {
    const page = pageOfEntries(
      call.query,
      await list(call, 'OBJECT'),
      'asc',
      notFoundIn(call, 'OBJECT'),
    );
    sendView(call, {
      objects: page.map((entry) => viewOfWholeObject(entry, call)),
      // Without the slash, as in Glance.
      schema: 'v2/schemas/metadefs/objects',
    });
  }

  async function sendProperties(call: HttpCall): Promise<void> {
    sendView(call, { properties: propertiesView(await list(call, 'PROPERTY')) });
  }

  /** By its name, or by that which it has among the properties of a type of resources. */
  async function sendProperty(call: HttpCall): Promise<void> {
    const { caller } = call.context;
    const namespace = namespaceOf(call);
    const name = nameIn(call);
    const resourceType = call.query.get('resource_type');
    if (resourceType === null || resourceType === '') {
      return show('PROPERTY', propertyView)(call);
    }
    const prefix = prefixOf(await entries.get(caller, namespace, 'RESOURCE_TYPE', resourceType));
    if (prefix === '' || !name.startsWith(prefix)) {
      throw entryNotFound(namespace, 'PROPERTY', name);
    }
    const found = await entries.get(caller, namespace, 'PROPERTY', name.slice(prefix.length));
    sendView(call, propertyView(found));
  }

  async function sendTags(call: HttpCall): Promise<void> {
    const page = pageOfEntries(
      call.query,
      await list(call, 'TAG'),
      'desc',
      notFoundIn(call, 'TAG'),
    );
    sendView(call, { tags: page.map(tagName) });
  }

  async function setTags(call: HttpCall): Promise<void> {
    const names = tagsIn(await jsonBody(call, pace));
    const isAppended = /^(?:1|t|true|on|y|yes)$/i.test(
      String(call.request.headers['x-openstack-append'] ?? '').trim(),
    );
    await entries.setTags(call.context.caller, namespaceOf(call), names, isAppended);
    sendMade(call, { tags: names.map((name) => tagName({ name })) });
  }

  async function addTag(call: HttpCall): Promise<void> {
    const { name, ...rest } = entryIn('TAG', { name: nameIn(call) });
    const added = await entries.add(call.context.caller, namespaceOf(call), { ...rest, name });
    sendMade(call, tagView(added));
  }

  async function sendAssociations(call: HttpCall): Promise<void> {
    const all = await list(call, 'RESOURCE_TYPE');
    sendView(call, { resource_type_associations: oldestFirst(all).map(associationView) });
  }

  async function sendResourceTypes(call: HttpCall): Promise<void> {
    const types = await entries.resourceTypes(call.context.caller);
    sendView(call, { resource_types: types.map(resourceTypeView) });
  }

  const within = `${namespacesPath}/:namespace`;
  return [
    { path: '/v2/metadefs/resource_types', methods: { GET: sendResourceTypes } },
    {
      path: `${within}/objects`,
      methods: {
        GET: sendObjects,
        POST: add('OBJECT', viewOfObject),
        DELETE: removeAll('OBJECT'),
      },
    },
    {
      path: `${within}/objects/:name`,
      methods: {
        GET: show('OBJECT', viewOfWholeObject),
        PUT: replace('OBJECT', viewOfObject),
        DELETE: remove('OBJECT'),
      },
    },
    {
      path: `${within}/properties`,
      methods: {
        GET: sendProperties,
        POST: add('PROPERTY', propertyView),
        DELETE: removeAll('PROPERTY'),
      },
    },
    {
      path: `${within}/properties/:name`,
      methods: {
        GET: sendProperty,
        PUT: replace('PROPERTY', propertyView),
        DELETE: remove('PROPERTY'),
      },
    },
    {
      path: `${within}/tags`,
      methods: { GET: sendTags, POST: setTags, DELETE: removeAll('TAG') },
    },
    {
      path: `${within}/tags/:name`,
      methods: {
        GET: show('TAG', tagView),
        POST: addTag,
        PUT: replace('TAG', tagView),
        DELETE: remove('TAG'),
      },
    },
    {
      path: `${within}/resource_types`,
      methods: { GET: sendAssociations, POST: add('RESOURCE_TYPE', associationView) },
    },
    {
      path: `${within}/resource_types/:name`,
      methods: { DELETE: remove('RESOURCE_TYPE') },
    },
  ];
}

type EntryView = (entry: Readonly<MetadefEntry>, call: HttpCall) => object;

function viewOfObject(entry: Readonly<MetadefEntry>, call: HttpCall): object {
  return objectView(namespaceOf(call), entry);
}

function viewOfWholeObject(entry: Readonly<MetadefEntry>, call: HttpCall): object {
  return wholeObjectView(namespaceOf(call), entry);
}

function sendMade({ response }: HttpCall, view: object): void {
  response.setHeader('cache-control', 'no-store');
  sendJson(response, 201, view);
}

function notFoundIn(call: HttpCall, kind: MetadefKind): (name: string) => DarkroomError {
  return (name) => entryNotFound(namespaceOf(call), kind, name);
}

function nameIn({ params }: HttpCall): string {
  return params['name'] ?? '';
}

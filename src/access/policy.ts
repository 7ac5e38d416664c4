import type { Role } from './caller.ts';

/** Who may call one RPC, or one place of plain HTTP. */
export interface AccessRule {
  /** The roles that may; `everybody` without any credential, too. */
  readonly who: 'everybody' | readonly Role[];
  /** On whose records, in words for people. That it is so is held by rights.ts. */
  readonly on: string;
}

/** Rules by the names of what they are for. */
export type AccessPolicy = Readonly<Record<string, AccessRule>>;

const ownProject = 'its project';
const nothing = 'nothing: the same for all';

/** Reads what belongs to the caller's project. */
const reads: AccessRule = { who: ['reader', 'member', 'admin', 'service'], on: ownProject };
/** Changes it. */
const changes: AccessRule = { who: ['member', 'admin', 'service'], on: ownProject };
/** Reads images, of others too where those are shown. */
const readsImages: AccessRule = { ...reads, on: 'images that it sees' };
/** Reads whom its project's images are shared with, and what is shared with it. */
const readsMembers: AccessRule = { ...reads, on: 'its project, its own membership' };
/** Reads metadata definitions, of others too where those are shown. */
const readsMetadefs: AccessRule = { ...reads, on: 'namespaces that it sees' };
/** Changes those that consoles offer to everybody. */
const changesMetadefs: AccessRule = { who: ['admin'], on: ownProject };
/** Tells what is the same for all, to those who are known. */
const tells: AccessRule = { who: ['reader', 'member', 'admin', 'service'], on: nothing };
/** Is told to everybody. */
const isPublic: AccessRule = { who: 'everybody', on: nothing };

/**
 * Who may do what: a row for each RPC, `package.Service/Method`, and for each place of plain HTTP, `METHOD path` as the
 * routes have it; `* path` is for all its methods that have no row. What has no row is not served: the start fails.
 *
 * `docs/security.md` has it as a table, which a test holds against this one.
 */
export const accessPolicy: AccessPolicy = {
  'darkroom.v1.ImageService/CreateImage': changes,
  'darkroom.v1.ImageService/UploadImage': changes,
  'darkroom.v1.ImageService/UploadChunk': changes,
  'darkroom.v1.ImageService/ResumeUpload': changes,
  'darkroom.v1.ImageService/DownloadImage': readsImages,
  'darkroom.v1.ImageService/GetImage': readsImages,
  'darkroom.v1.ImageService/ListImages': readsImages,
  'darkroom.v1.ImageService/UpdateImage': changes,
  'darkroom.v1.ImageService/DeleteImage': changes,
  'darkroom.v1.ImageService/AddImageMember': changes,
  'darkroom.v1.ImageService/ListImageMembers': readsMembers,
  'darkroom.v1.ImageService/GetImageMember': readsMembers,
  'darkroom.v1.ImageService/UpdateImageMember': { ...changes, on: 'its own membership' },
  'darkroom.v1.ImageService/RemoveImageMember': changes,

  'darkroom.v1.TaskService/GetTask': reads,
  'darkroom.v1.TaskService/ListTasks': reads,
  'darkroom.v1.TaskService/ListFaults': reads,
  'darkroom.v1.TaskService/ListTaskEvents': reads,
  'darkroom.v1.TaskService/WatchTask': reads,
  'darkroom.v1.TaskService/WatchTasks': reads,
  'darkroom.v1.TaskService/ReportProgress': changes,
  'darkroom.v1.TaskService/ReportFault': changes,
  'darkroom.v1.TaskService/CancelTask': changes,
  'darkroom.v1.TaskService/RetryTask': changes,

  'darkroom.v1.QuotaService/GetQuota': { ...reads, on: 'its project; an admin on any' },
  'darkroom.v1.QuotaService/UpdateQuota': { who: ['admin'], on: 'any project' },

  'grpc.health.v1.Health/Check': isPublic,
  'grpc.health.v1.Health/List': isPublic,
  'grpc.health.v1.Health/Watch': isPublic,
  'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': tells,
  'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': tells,

  'GET /healthz': isPublic,
  'GET /readyz': isPublic,
  'GET /': isPublic,
  'GET /images': isPublic,
  'GET /images/:id': isPublic,
  'GET /tasks': isPublic,
  'GET /tasks/:id': isPublic,
  'GET /uploads': isPublic,
  'GET /console/*': isPublic,
  'GET /versions': isPublic,
  'GET /v2': isPublic,
  'GET /v2/': isPublic,
  'GET /v2/images': readsImages,
  'POST /v2/images': changes,
  'GET /v2/images/:id': readsImages,
  'PATCH /v2/images/:id': changes,
  'DELETE /v2/images/:id': changes,
  'GET /v2/images/:id/file': readsImages,
  'PUT /v2/images/:id/file': changes,
  'PUT /v2/images/:id/stage': changes,
  'POST /v2/images/:id/import': changes,
  'GET /v2/images/:id/tasks': reads,
  'PUT /v2/images/:id/tags/:tag': changes,
  'DELETE /v2/images/:id/tags/:tag': changes,
  'GET /v2/images/:id/members': readsMembers,
  'POST /v2/images/:id/members': changes,
  'GET /v2/images/:id/members/:member': readsMembers,
  'PUT /v2/images/:id/members/:member': { ...changes, on: 'its own membership' },
  'DELETE /v2/images/:id/members/:member': changes,
  'POST /v2/images/:id/actions/deactivate': changes,
  'POST /v2/images/:id/actions/reactivate': changes,
  'GET /v2/tasks': reads,
  'POST /v2/tasks': changes,
  'GET /v2/tasks/:id': reads,
  'GET /v2/info/import': tells,
  'GET /v2/info/stores': tells,
  'GET /v2/info/stores/detail': { who: ['admin'], on: nothing },
  'GET /v2/info/usage': reads,
  'DELETE /v2/stores/:store/:id': changes,
  'GET /v2/metadefs/resource_types': readsMetadefs,
  'GET /v2/metadefs/namespaces': readsMetadefs,
  'POST /v2/metadefs/namespaces': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace': readsMetadefs,
  'PUT /v2/metadefs/namespaces/:namespace': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/objects': readsMetadefs,
  'POST /v2/metadefs/namespaces/:namespace/objects': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/objects': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/objects/:name': readsMetadefs,
  'PUT /v2/metadefs/namespaces/:namespace/objects/:name': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/objects/:name': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/properties': readsMetadefs,
  'POST /v2/metadefs/namespaces/:namespace/properties': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/properties': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/properties/:name': readsMetadefs,
  'PUT /v2/metadefs/namespaces/:namespace/properties/:name': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/properties/:name': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/tags': readsMetadefs,
  'POST /v2/metadefs/namespaces/:namespace/tags': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/tags': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/tags/:name': readsMetadefs,
  'POST /v2/metadefs/namespaces/:namespace/tags/:name': changesMetadefs,
  'PUT /v2/metadefs/namespaces/:namespace/tags/:name': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/tags/:name': changesMetadefs,
  'GET /v2/metadefs/namespaces/:namespace/resource_types': readsMetadefs,
  'POST /v2/metadefs/namespaces/:namespace/resource_types': changesMetadefs,
  'DELETE /v2/metadefs/namespaces/:namespace/resource_types/:name': changesMetadefs,
  'GET /v2/schemas/image': tells,
  'GET /v2/schemas/images': tells,
  'GET /v2/schemas/member': tells,
  'GET /v2/schemas/members': tells,
  'GET /v2/schemas/task': tells,
  'GET /v2/schemas/tasks': tells,
  'GET /v2/schemas/metadefs/namespace': tells,
  'GET /v2/schemas/metadefs/namespaces': tells,
  'GET /v2/schemas/metadefs/resource_type': tells,
  'GET /v2/schemas/metadefs/resource_types': tells,
  'GET /v2/schemas/metadefs/object': tells,
  'GET /v2/schemas/metadefs/objects': tells,
  'GET /v2/schemas/metadefs/property': tells,
  'GET /v2/schemas/metadefs/properties': tells,
  'GET /v2/schemas/metadefs/tag': tells,
  'GET /v2/schemas/metadefs/tags': tells,
  'GET /docs': isPublic,
  'GET /docs/*': isPublic,
  // What is only refused, with 404 or 405.
  '* /': isPublic,
  '* /versions': isPublic,
  '* /v2': isPublic,
  '* /v2/*': tells,
  // Everything, while the service starts.
  '* /*': isPublic,
};

/**
 * Who may make an image PUBLIC, of those who may create and change images, as it is set: it is then in the lists of all
 * projects. Who may not is told ROLE_INSUFFICIENT.
 */
export const publicImagesBy: Readonly<Record<'admins' | 'members', readonly Role[]>> = {
  admins: ['admin'],
  members: ['member', 'admin', 'service'],
};

/** The policy with reflection as it is set. */
export function policyWith(reflection: 'everybody' | 'callers' | 'off'): AccessPolicy {
  return reflection === 'everybody'
    ? {
        ...accessPolicy,
        'grpc.reflection.v1.ServerReflection/ServerReflectionInfo': isPublic,
        'grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': isPublic,
      }
    : accessPolicy;
}

/** Thrown at a start, for something that is served and has no row. */
export class NoAccessRuleError extends Error {
  override readonly name = 'NoAccessRuleError';

  constructor(names: readonly string[]) {
    super(`who may call it is not said in src/access/policy.ts: ${names.join(', ')}`);
  }
}

/**
 * The rules of all that is served, by its names.
 *
 * @throws NoAccessRuleError where one has none.
 */
export function rulesOf(policy: AccessPolicy, names: readonly string[]): Map<string, AccessRule> {
  const rules = new Map<string, AccessRule>();
  const without: string[] = [];
  for (const name of names) {
    const rule = policy[name] ?? policy[name.replace(/^\w+ /, '* ')];
    if (rule === undefined) {
      without.push(name);
    } else {
      rules.set(name, rule);
    }
  }
  if (without.length > 0) {
    throw new NoAccessRuleError(without);
  }
  return rules;
}

import { memberStatuses } from '../../records/image-member.ts';
import { uuidPattern } from './schemas.ts';

/** JSON schema of a project that an image is shared with. */
export const memberSchema = {
  name: 'member',
  properties: {
    member_id: { description: 'The project that the image is shared with', type: 'string' },
    image_id: { description: 'The image', pattern: uuidPattern, type: 'string' },
    status: {
      description: 'What that project says to it',
      enum: memberStatuses.map((status) => status.toLowerCase()),
      type: 'string',
    },
    created_at: { description: 'Since when it is shared', type: 'string' },
    updated_at: { description: 'When the status last changed', type: 'string' },
    schema: { readOnly: true, type: 'string' },
  },
  additionalProperties: false,
} as const;

/** JSON schema of all projects that an image is shared with. */
export const membersSchema = {
  name: 'members',
  properties: {
    members: { type: 'array', items: memberSchema },
    schema: { type: 'string' },
  },
  links: [{ rel: 'describedby', href: '{schema}' }],
} as const;

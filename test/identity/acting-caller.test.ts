import { expect, test } from 'vitest';
import { actingCaller } from '../../src/identity/acting-caller.ts';
import type { Identity } from '../../src/identity/identity.ts';

const identity = (...roles: Identity['roles']): Identity => ({
  userId: 'ann',
  projectId: 'garden',
  roles,
  expiresAtMs: Number.POSITIVE_INFINITY,
  isRevoked: false,
});
const refused = expect.objectContaining({ reason: 'PROJECT_NOT_ALLOWED' }) as Error;

test('an admin acts in the own project, and in no other one by its name', () => {
  const admin = identity('admin');
  expect(actingCaller(admin, undefined)).toEqual({
    projectId: 'garden',
    userId: 'ann',
    role: 'admin',
  });
  expect(() => actingCaller(admin, 'friend')).toThrow(refused);
});

test('where admins act in any project, they do in the one that a call names, and say that they may', () => {
  const admin = identity('admin', 'member');
  const anywhere = { userId: 'ann', role: 'admin', actsAnywhere: true };
  expect(actingCaller(admin, undefined, 'any-project')).toEqual({
    ...anywhere,
    projectId: 'garden',
  });
  expect(actingCaller(admin, 'friend', 'any-project')).toEqual({
    ...anywhere,
    projectId: 'friend',
  });
  expect(() => actingCaller(admin, 'a b', 'any-project')).toThrow(refused);
});

test('nobody else acts anywhere, wherever admins do', () => {
  for (const role of ['reader', 'member'] as const) {
    expect(actingCaller(identity(role), undefined, 'any-project')).toEqual({
      projectId: 'garden',
      userId: 'ann',
      role,
    });
    expect(() => actingCaller(identity(role), 'friend', 'any-project')).toThrow(refused);
  }
  expect(actingCaller(identity('service'), 'friend', 'any-project')).toEqual({
    projectId: 'friend',
    userId: 'ann',
    role: 'service',
  });
});

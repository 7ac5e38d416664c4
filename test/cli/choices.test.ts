import { expect, test } from 'vitest';
import { CodeSchema } from '../../gen/google/rpc/code_pb.ts';
import * as choices from '../../src/cli/choices.ts';
import {
  Image_ContainerFormatSchema,
  Image_DiskFormatSchema,
  Image_OutlookSchema,
  Image_StateSchema,
  Image_VisibilitySchema,
  Task_StateSchema,
  Task_TypeSchema,
} from '../../src/client/contract.ts';

test.each([
  [choices.diskFormats, Image_DiskFormatSchema],
  [choices.containerFormats, Image_ContainerFormatSchema],
  [choices.visibilities, Image_VisibilitySchema],
  [choices.imageStates, Image_StateSchema],
  [choices.outlooks, Image_OutlookSchema],
  [choices.taskStates, Task_StateSchema],
  [choices.taskTypes, Task_TypeSchema],
  [choices.faultCodes, CodeSchema],
] as const)('the words of options are those of the contract: %j', (words, schema) => {
  const names = schema.values
    .filter(({ number, localName }) => number !== 0 && localName !== 'OK')
    .map(({ localName }) => localName.toLowerCase().replaceAll('_', '-'));
  expect([...words].toSorted()).toEqual(names.toSorted());
});

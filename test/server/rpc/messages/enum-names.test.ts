import { expect, test } from 'vitest';
import {
  Image_ContainerFormat,
  Image_DiskFormat,
  Image_Outlook,
  Image_State,
  Image_Visibility,
} from '../../../../gen/darkroom/v1/image_pb.ts';
import { Task_State, Task_Type } from '../../../../gen/darkroom/v1/task_pb.ts';
import {
  containerFormats,
  diskFormats,
  imageOutlooks,
  imageStates,
  visibilities,
} from '../../../../src/records/image.ts';
import { taskStates, taskTypes } from '../../../../src/records/task.ts';

test.each([
  ['states of images', imageStates, Image_State],
  ['outlooks', imageOutlooks, Image_Outlook],
  ['disk formats', diskFormats, Image_DiskFormat],
  ['container formats', containerFormats, Image_ContainerFormat],
  ['visibilities', visibilities, Image_Visibility],
  ['states of tasks', taskStates, Task_State],
  ['types of tasks', taskTypes, Task_Type],
] as const)('the %s of the records are those of the contract', (_, words, contract) => {
  expect(['UNSPECIFIED', ...words]).toEqual(Object.keys(contract));
});

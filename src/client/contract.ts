/** The contract's messages and enums, and what makes them. */
export * from '../../gen/darkroom/v1/fault_pb.ts';
export * from '../../gen/darkroom/v1/image_pb.ts';
export * from '../../gen/darkroom/v1/image_member_pb.ts';
export * from '../../gen/darkroom/v1/image_service_pb.ts';
export * from '../../gen/darkroom/v1/phase_pb.ts';
export * from '../../gen/darkroom/v1/quota_service_pb.ts';
export * from '../../gen/darkroom/v1/task_pb.ts';
export * from '../../gen/darkroom/v1/task_service_pb.ts';
export { Code } from '../../gen/google/rpc/code_pb.ts';

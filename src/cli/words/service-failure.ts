import type { DarkroomError } from '../../client/exports.ts';
import { Code } from '../../client/contract.ts';
import { CommandFailure } from '../command-failure.ts';
import { exitCodes, type ExitCode } from '../exit-codes.ts';
import { shownText } from '../output/shown-text.ts';
import { callRemedy, faultRemedy } from './remedies.ts';

/** Codes of the service that have an exit code of their own; with all others it has refused what was asked. */
const byCode: ReadonlyMap<Code, ExitCode> = new Map([
  [Code.NOT_FOUND, exitCodes.notFound],
  [Code.UNAUTHENTICATED, exitCodes.notAllowed],
  [Code.PERMISSION_DENIED, exitCodes.notAllowed],
  [Code.UNAVAILABLE, exitCodes.unreachable],
  [Code.DEADLINE_EXCEEDED, exitCodes.unreachable],
  [Code.UNKNOWN, exitCodes.failed],
  [Code.INTERNAL, exitCodes.failed],
]);

/** What the service, or the way to it, says is wrong, with what to do, for people. */
export function serviceFailure(error: DarkroomError, endpoint: string): CommandFailure {
  const { origin, reason, fieldViolations, fault } = error;
  if (fault !== undefined || reason === 'TASK_CANCELLED') {
    return ofTask(error);
  }
  const remedy = callRemedy(reason);
  const message = shownText(error.message);
  const lines = [
    origin === 'network'
      ? `${endpoint} cannot be called: ${message}`
      : `${message}${origin === 'service' ? ` (${reason})` : ''}`,
    ...fieldViolations.map(
      ({ field, description }) => `  ${shownText(field)} ${shownText(description)}`,
    ),
    ...(remedy === undefined ? [] : [remedy]),
  ];
  return new CommandFailure(exitCodeOf(error), lines.join('\n'), { cause: error });
}

/** The task has ended, and its image will not come by it. */
function ofTask({ reason, message, fault }: DarkroomError): CommandFailure {
  const remedy = faultRemedy(reason);
  const lines = [
    `${shownText(message)} (${reason})`,
    ...(remedy === undefined ? [] : [remedy]),
    ...(fault === undefined ? [] : [`What happened: darkroom task ${fault.taskId}`]),
  ];
  const { taskFailed, taskCancelled } = exitCodes;
  return new CommandFailure(fault === undefined ? taskCancelled : taskFailed, lines.join('\n'));
}

function exitCodeOf(error: DarkroomError): ExitCode {
  if (error.origin === 'network') {
    return exitCodes.unreachable;
  }
  if (error.origin === 'client') {
    return exitCodes.failed;
  }
  return byCode.get(error.code) ?? exitCodes.refused;
}

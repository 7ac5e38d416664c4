/** SQL: whether a row of processes gave a sign of life lately (see ProcessRegistry, which gives them). */
export const hasSignOfLife = `processes.heartbeat_time > now() - interval '10 seconds'`;

declare module '*.css';

/** The address of the worker that uploads; build/console.ts makes it. */
declare module 'darkroom:uploader' {
  const url: string;
  export default url;
}

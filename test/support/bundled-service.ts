import { bundleIfStale } from '../../build/bundle.ts';

/** The many services that tests start are what `npm start` starts, from the sources as they are now. */
export default bundleIfStale;

/** The part of seek-bzip that is used; the package brings no types. */
declare module 'seek-bzip' {
  /** A source or a sink, of which one makes the methods that are called. */
  class Stream {
    /** The next byte, or -1 at the end. */
    readByte: () => number;
    eof: () => boolean;
    writeByte: (byte: number) => void;
  }

  const Bunzip: {
    readonly Stream: typeof Stream;
    /** Decompresses what `input` reads into what `output` writes. */
    decode(input: Stream, output: Stream, isMultistream: boolean): void;
  };
  export default Bunzip;
}

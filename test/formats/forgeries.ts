import { crc32c } from '@node-rs/crc32';

const KiB = 1024;

/** A field of an image and what to write there. */
export interface Field {
  readonly offset: number;
  readonly bits: 8 | 16 | 32 | 64;
  readonly byteOrder: 'little' | 'big';
  readonly value: number | bigint;
}

/** The bytes with one field changed. */
export function withField(bytes: Uint8Array, field: Field): Buffer {
  const copy = Buffer.from(bytes);
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  const isLittle = field.byteOrder === 'little';
  const value = BigInt(field.value);
  switch (field.bits) {
    case 8:
      view.setUint8(field.offset, Number(value));
      break;
    case 16:
      view.setUint16(field.offset, Number(value), isLittle);
      break;
    case 32:
      view.setUint32(field.offset, Number(value), isLittle);
      break;
    case 64:
      view.setBigUint64(field.offset, value, isLittle);
      break;
  }
  return copy;
}

/** The bytes with others written over them. */
export function withBytes(bytes: Uint8Array, offset: number, written: Uint8Array | string): Buffer {
  const copy = Buffer.from(bytes);
  copy.set(typeof written === 'string' ? Buffer.from(written, 'latin1') : written, offset);
  return copy;
}

/** A VHD whose checksums are right again: those of its footers and of its dynamic header. */
export function resealedVhd(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  const seal = (start: number, length: number, field: number) => {
    if (start < 0 || start + length > copy.length) {
      return;
    }
    copy.writeUInt32BE(0, start + field);
    const sum = copy.subarray(start, start + length).reduce((sum, byte) => sum + byte, 0);
    copy.writeUInt32BE(~sum >>> 0, start + field);
  };
  if (copy.toString('latin1', 0, 8) === 'conectix') {
    seal(0, 512, 64);
    seal(512, 1024, 36);
  }
  seal(copy.length - 512, 512, 64);
  return copy;
}

/** A VHDX whose checksums are right again: those of its headers and of its region tables. */
export function resealedVhdx(bytes: Uint8Array): Buffer {
  const copy = Buffer.from(bytes);
  for (const [start, length] of [
    [64 * KiB, 4 * KiB],
    [128 * KiB, 4 * KiB],
    [192 * KiB, 64 * KiB],
    [256 * KiB, 64 * KiB],
  ] as const) {
    copy.writeUInt32LE(0, start + 4);
    copy.writeUInt32LE(crc32c(copy.subarray(start, start + length)), start + 4);
  }
  return copy;
}

/** A VMDK with something else in its descriptor, which keeps its place. */
export function withDescriptor(vmdk: Uint8Array, change: (descriptor: string) => string): Buffer {
  const start = 512 * Number(Buffer.from(vmdk).readBigUInt64LE(28));
  const length = 512 * Number(Buffer.from(vmdk).readBigUInt64LE(36));
  const old = Buffer.from(vmdk).toString('latin1', start, start + length);
  const changed = Buffer.alloc(length);
  changed.write(change(old.slice(0, old.indexOf('\0'))), 'latin1');
  return withBytes(vmdk, start, changed);
}

/** A stream whose grain directory's place is told by a footer, as VMware writes it. */
export function withVmdkFooter(vmdk: Uint8Array): {
  header: Buffer;

  whole: Buffer;
} {
  const header = withField(vmdk, {
    offset: 56,
    bits: 64,
    byteOrder: 'little',
    value: 0xffff_ffff_ffff_ffffn,
  });
  const footer = Buffer.from(vmdk).subarray(0, 512);
  const marker = Buffer.alloc(512);
  marker.writeBigUInt64LE(1n, 0);
  marker.writeUInt32LE(3, 12);
  const whole = Buffer.concat([header, marker, footer, Buffer.alloc(512)]);
  return { header, whole };
}

/** The least ISO 9660: a boot record, a primary volume descriptor and the set's terminator. */
export function minimalIso(systemArea: Uint8Array = new Uint8Array()): Buffer {
  const iso = Buffer.alloc(40 * KiB);
  iso.set(systemArea);
  for (const [sector, type] of [
    [16, 0],
    [17, 1],
    [18, 255],
  ] as const) {
    iso.writeUInt8(type, sector * 2048);
    iso.write('CD001\x01', sector * 2048 + 1, 'latin1');
  }
  return iso;
}

/** A raw disk of zeros that begins with a boot sector. */
export function bootSectorDisk(size: number): Buffer {
  return withBytes(Buffer.alloc(size), 510, Buffer.from([0x55, 0xaa]));
}

/** A tar archive of one small file, in the format ustar. */
export function tarArchive(): Buffer {
  const header = Buffer.alloc(512);
  header.write('disk.ovf', 0);
  header.write('0000644\0' + '0000000\0' + '0000000\0' + '00000000005\0' + '00000000000\0', 100);
  header.write('        0', 148);
  header.write('ustar\x0000', 257);
  const sum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  const content = Buffer.alloc(512);
  content.write('<ovf>');
  return Buffer.concat([header, content, Buffer.alloc(1024)]);
}

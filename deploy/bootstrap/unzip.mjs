// unzip.mjs ARCHIVE MEMBER TARGET writes one member of a zip archive to a file. Reads the central
// directory as PKWARE's APPNOTE 4.3.12 and 4.3.16 give it; stored and deflated members, no zip64.
import { readFileSync, writeFileSync } from 'node:fs';
import { crc32, inflateRawSync } from 'node:zlib';

const MEMBER_BYTES_MAX = 512 * 1024 * 1024;
const END_SIGNATURE = 0x06054b50;
const ENTRY_SIGNATURE = 0x02014b50;
const DEFLATED = 8;

const [archive, member, target] = process.argv.slice(2);
const zip = readFileSync(archive);

function endOfDirectory() {
  for (let at = zip.length - 22; at >= 0; at--) {
    if (zip.readUInt32LE(at) === END_SIGNATURE) return at;
  }
  throw new Error(`${archive} is no zip archive`);
}

function findEntry() {
  const end = endOfDirectory();
  let at = zip.readUInt32LE(end + 16);
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    if (zip.readUInt32LE(at) !== ENTRY_SIGNATURE) throw new Error(`${archive} is damaged`);
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength);
    if (name === member) return at;
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new Error(`${archive} has no member ${member}`);
}

const entry = findEntry();
const local = zip.readUInt32LE(entry + 42);
const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
const coded = zip.subarray(start, start + zip.readUInt32LE(entry + 20));
const isDeflated = zip.readUInt16LE(entry + 10) === DEFLATED;
const bytes = isDeflated ? inflateRawSync(coded, { maxOutputLength: MEMBER_BYTES_MAX }) : coded;
if (crc32(bytes) !== zip.readUInt32LE(entry + 16)) throw new Error(`${member} is damaged`);
writeFileSync(target, bytes);

/** Bounds what is lost with a killed worker: about two seconds of encoding. */
export const GROUP_SIZE_BYTES_DEFAULT = 256 * 1024 * 1024;

interface Item {
  readonly name: string;
  readonly sizeBytes: number;
}

/** A run of the payload that one process encodes; groups in their order make up the whole. */
export interface EncodeGroup {
  /** Carried files, which come before all tensors. */
  readonly files: readonly string[];
  readonly tensors: readonly string[];
  /** In the source. */
  readonly sizeBytes: number;
}

/**
 * Packs files and tensors, in the order of the payload, into as few runs of at most
 * `groupSizeBytes` as that order allows. An item that is larger is a group of its own.
 */
export function groupItems(
  source: { readonly files: readonly Item[]; readonly tensors: readonly Item[] },
  groupSizeBytes: number,
): EncodeGroup[] {
  const groups: { files: string[]; tensors: string[]; sizeBytes: number }[] = [];
  const place = ({ name, sizeBytes }: Item, kind: 'files' | 'tensors') => {
    let open = groups.at(-1);
    if (open === undefined || open.sizeBytes + sizeBytes > groupSizeBytes) {
      open = { files: [], tensors: [], sizeBytes: 0 };
      groups.push(open);
    }
    open[kind].push(name);
    open.sizeBytes += sizeBytes;
  };
  for (const file of source.files) place(file, 'files');
  for (const tensor of source.tensors) place(tensor, 'tensors');
  return groups;
}

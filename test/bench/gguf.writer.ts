import { open } from 'node:fs/promises';
import { type Checkpoint, openCheckpoint, type TensorInfo } from '@entrofleet/artifact';
import { native } from '@entrofleet/native';
import { z } from 'zod';
import { ENCODINGS, type EncodingName, type GgmlEncoding } from './ggml.encoding.ts';
import { encodeGgufHeader, GGUF_ALIGNMENT, type GgufTensor } from './gguf.header.ts';
import { ggufName, type LlamaConfig, llamaMetadata, rowOrder } from './gguf.llama.ts';

/** Source weights held as float32 at a time: 16 MB. */
const BLOCK_WEIGHTS = 4 * 1024 * 1024;

const configSchema = z.object({
  hidden_size: z.int(),
  intermediate_size: z.int(),
  num_hidden_layers: z.int(),
  num_attention_heads: z.int(),
  num_key_value_heads: z.int().optional(),
  max_position_embeddings: z.int(),
  rms_norm_eps: z.number(),
  rope_theta: z.number().optional(),
  rope_parameters: z.object({ rope_theta: z.number() }).optional(),
  vocab_size: z.int(),
  bos_token_id: z.int(),
  eos_token_id: z.int(),
});
const tokenizerSchema = z.object({
  model: z.object({ vocab: z.record(z.string(), z.int()) }),
});

/**
 * Writes the weights of a Hugging Face Llama with a tokenizer.json as a GGUF file, every matrix in
 * the format of that name and norms in float32.
 */
export async function writeGguf(folder: string, path: string, format: EncodingName): Promise<void> {
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'required' });
  try {
    const read = configSchema.parse(checkpoint.config);
    const theta = read.rope_parameters?.rope_theta ?? read.rope_theta;
    const config = { ...read, rope_theta: theta };
    const metadata = llamaMetadata(config, await readTokens(checkpoint, config));
    const tensors = checkpoint.tensors.map((info) => ggufTensor(info, format));
    const { bytes, offsets } = encodeGgufHeader({ metadata, tensors });
    const file = await open(path, 'w');
    try {
      await file.write(bytes, 0, bytes.length, 0);
      for (const [i, info] of checkpoint.tensors.entries()) {
        let position = bytes.length + (offsets[i] ?? 0);
        for await (const piece of encodedRows(checkpoint, info, { format, config })) {
          await file.write(piece, 0, piece.length, position);
          position += piece.length;
        }
      }
      // The last tensor is padded, too.
      const { size } = await file.stat();
      await file.truncate(Math.ceil(size / GGUF_ALIGNMENT) * GGUF_ALIGNMENT);
    } finally {
      await file.close();
    }
  } finally {
    await checkpoint.close();
  }
}

async function readTokens(checkpoint: Checkpoint, config: LlamaConfig): Promise<string[]> {
  const text = Buffer.from(await checkpoint.readFile('tokenizer.json')).toString('utf8');
  const { vocab } = tokenizerSchema.parse(JSON.parse(text)).model;
  const tokens = Array.from({ length: config.vocab_size }, (_, id) => `<filler_${id}>`);
  for (const [token, id] of Object.entries(vocab)) tokens[id] = token;
  return tokens;
}

function encodingOf({ shape }: TensorInfo, format: EncodingName): GgmlEncoding {
  return ENCODINGS[shape.length === 2 ? format : 'F32'];
}

function ggufTensor(info: TensorInfo, format: EncodingName): GgufTensor {
  const { type, blockWeights, blockBytes } = encodingOf(info, format);
  const columns = info.shape.at(-1) ?? 1;
  if (columns % blockWeights !== 0) {
    throw new Error(`${info.name} has rows of ${columns} weights, ${format} needs whole blocks`);
  }
  const weights = info.shape.reduce((product, n) => product * n, 1);
  const sizeBytes = (weights / blockWeights) * blockBytes;
  return { name: ggufName(info.name), shape: info.shape, type, sizeBytes };
}

async function* encodedRows(
  checkpoint: Checkpoint,
  info: TensorInfo,
  { format, config }: { format: EncodingName; config: LlamaConfig },
): AsyncGenerator<Uint8Array> {
  const { blockWeights, blockBytes, encode } = encodingOf(info, format);
  const columns = info.shape.at(-1) ?? 1;
  const rows = info.shape.length === 2 ? (info.shape[0] ?? 1) : 1;
  const order = rowOrder(info.name, config);
  const raw = await checkpoint.readRaw(info.name);
  const rowBytes = raw.length / rows;
  const blockRows = Math.max(1, Math.floor(BLOCK_WEIGHTS / columns));
  for (let begin = 0; begin < rows; begin += blockRows) {
    const end = Math.min(rows, begin + blockRows);
    const weights = new Uint8Array((end - begin) * rowBytes);
    for (let row = begin; row < end; row++) {
      const from = (order?.[row] ?? row) * rowBytes;
      weights.set(raw.subarray(from, from + rowBytes), (row - begin) * rowBytes);
    }
    const floats = await native.toFloat32({ weights, type: info.type, threads: 1 });
    const output = new Uint8Array((floats.length / blockWeights) * blockBytes);
    encode(floats, output);
    yield output;
  }
}

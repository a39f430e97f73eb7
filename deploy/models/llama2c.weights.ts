import { ImportError } from './import.error.ts';

/** Geometry from the first 28 bytes of a llama2.c `.bin` file, version 0. */
export interface Llama2cGeometry {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly vocabularySize: number;
  readonly contextLength: number;
}

/** A float32 tensor, row-major, under its Hugging Face name. */
export interface FloatTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Llama2cModel {
  readonly geometry: Llama2cGeometry;
  readonly tensors: readonly FloatTensor[];
  /** Where the weights end. */
  readonly sizeBytes: number;
}

const HEADER_INTEGERS = 7;
const SIDE_MAX = 1 << 20;

/**
 * Reads a llama2.c version 0 checkpoint (https://github.com/karpathy/llama2.c, `legacy_export`)
 * with a shared classifier into tensors as transformers names and orders them.
 * @throws ImportError `BadWeights`.
 */
export function readLlama2c(bytes: Uint8Array): Llama2cModel {
  const geometry = readGeometry(bytes);
  const { hiddenSize, intermediateSize, layers, vocabularySize, contextLength } = geometry;
  const headSize = hiddenSize / geometry.heads;
  const keyValueSize = headSize * geometry.keyValueHeads;
  const cursor = new FloatCursor(bytes, HEADER_INTEGERS * 4);
  const perLayer = (name: string, shape: readonly number[]): FloatTensor[] =>
    Array.from({ length: layers }, (_, layer) =>
      cursor.take(`model.layers.${layer}.${name}.weight`, shape),
    );
  const turned = (tensors: FloatTensor[]): FloatTensor[] =>
    tensors.map((tensor) => ({
      ...tensor,
      data: halvesFromPairs(tensor.data, { headSize, columns: hiddenSize }),
    }));
  const tensors = [
    cursor.take('model.embed_tokens.weight', [vocabularySize, hiddenSize]),
    ...perLayer('input_layernorm', [hiddenSize]),
    ...turned(perLayer('self_attn.q_proj', [hiddenSize, hiddenSize])),
    ...turned(perLayer('self_attn.k_proj', [keyValueSize, hiddenSize])),
    ...perLayer('self_attn.v_proj', [keyValueSize, hiddenSize]),
    ...perLayer('self_attn.o_proj', [hiddenSize, hiddenSize]),
    ...perLayer('post_attention_layernorm', [hiddenSize]),
    ...perLayer('mlp.gate_proj', [intermediateSize, hiddenSize]),
    ...perLayer('mlp.down_proj', [hiddenSize, intermediateSize]),
    ...perLayer('mlp.up_proj', [intermediateSize, hiddenSize]),
    cursor.take('model.norm.weight', [hiddenSize]),
  ];
  // Tables of rotation angles, cosines then sines, which transformers computes itself.
  cursor.take('freq_cis_real', [contextLength, headSize / 2]);
  cursor.take('freq_cis_imag', [contextLength, headSize / 2]);
  return { geometry, tensors, sizeBytes: cursor.position };
}

/**
 * Reorders the rows of a query or key projection within each head: llama2.c rotates rows
 * (2i, 2i+1) together, transformers rows (i, i + headSize / 2).
 */
function halvesFromPairs(
  data: Float32Array,
  { headSize, columns }: { headSize: number; columns: number },
): Float32Array {
  const turned = new Float32Array(data.length);
  const half = headSize / 2;
  for (let row = 0; row < data.length / columns; row++) {
    const withinHead = row % headSize;
    const source = withinHead < half ? 2 * withinHead : 2 * (withinHead - half) + 1;
    const begin = (row - withinHead + source) * columns;
    turned.set(data.subarray(begin, begin + columns), row * columns);
  }
  return turned;
}

class FloatCursor {
  readonly #bytes: Uint8Array;
  position: number;

  constructor(bytes: Uint8Array, position: number) {
    this.#bytes = bytes;
    this.position = position;
  }

  take(name: string, shape: readonly number[]): FloatTensor {
    const length = shape.reduce((product, side) => product * side, 1);
    const end = this.position + length * 4;
    if (end > this.#bytes.length) {
      const size = this.#bytes.length;
      throw new ImportError('BadWeights', `tensor ${name} ends at byte ${end} of only ${size}`);
    }
    const data = new Float32Array(length);
    new Uint8Array(data.buffer).set(this.#bytes.subarray(this.position, end));
    this.position = end;
    return { name, shape, data };
  }
}

function readGeometry(bytes: Uint8Array): Llama2cGeometry {
  if (bytes.length < HEADER_INTEGERS * 4) {
    throw new ImportError('BadWeights', `${bytes.length} bytes are no llama2.c checkpoint`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const side = (index: number, name: string): number => {
    const value = view.getInt32(index * 4, true);
    if (value >= 1 && value <= SIDE_MAX) return value;
    throw new ImportError('BadWeights', `${name} is ${value}: no llama2.c checkpoint of version 0`);
  };
  const geometry: Llama2cGeometry = {
    hiddenSize: side(0, 'dim'),
    intermediateSize: side(1, 'hidden_dim'),
    layers: side(2, 'n_layers'),
    heads: side(3, 'n_heads'),
    keyValueHeads: side(4, 'n_kv_heads'),
    // A negative size would say that the classifier is a tensor of its own.
    vocabularySize: side(5, 'vocab_size'),
    contextLength: side(6, 'seq_len'),
  };
  const { hiddenSize, heads, keyValueHeads } = geometry;
  if (hiddenSize % (2 * heads) !== 0 || heads % keyValueHeads !== 0) {
    throw new ImportError('BadWeights', `dim ${hiddenSize} does not divide into ${heads} heads`);
  }
  return geometry;
}

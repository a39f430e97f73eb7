import type { TensorRecipe } from '@entrofleet/codec';
import type { RecipeEntry } from './artifact.header.ts';
import { isJsonObject } from './bounded.json.ts';
import { canonicalJson } from './canonical.json.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import { sha256Now } from './chunk.hash.ts';
import { huffmanCodeText } from './code.text.ts';
import { type EncodeGroup, groupItems } from './encode.groups.ts';
import { encodePeakBytes } from './encode.memory.ts';
import { isMatrix } from './encode.plan.ts';
import {
  type Calibration,
  gridsByName,
  planQuantization,
  type QuantizationPlan,
} from './quantization.plan.ts';
import { measureSharedCode } from './shared.code.ts';
import { sourceChanged } from './source.file.ts';
import type { Layout } from './symbol.coding.ts';
import { tensorsToEncode } from './tied.head.ts';

/** Raised when the same plan would give other bytes, so that no part of before is taken. */
const VERSION = 1;

/**
 * Everything that is decided before the first byte is coded; plain JSON. Whoever has the source and
 * the plan can encode any group, in any order, in any process.
 */
export interface EncodingPlan {
  readonly version: typeof VERSION;
  readonly recipe: RecipeEntry;
  readonly layout: Layout;
  /** The model's Huffman code as the header spells it, for layout `paper`. */
  readonly sharedCode: string | null;
  readonly chunkSizeBytes: number;
  /** State of the source's files that the plan was made from. */
  readonly source: readonly string[];
  /** Of the encoded tensors, in the source. */
  readonly tensorBytes: number;
  /** Bound of the memory of a process that encodes one of the groups. */
  readonly peakMemoryBytes: number;
  readonly quantization: QuantizationPlan;
  readonly groups: readonly EncodeGroup[];
}

export interface EncodingPlanOptions {
  readonly checkpoint: Checkpoint;
  readonly recipe: TensorRecipe;
  /** Default: `auto`. */
  readonly layout?: Layout | undefined;
  readonly calibration?: Calibration | undefined;
  readonly chunkSizeBytes: number;
  /** Source bytes of a group; a larger tensor is a group of its own. */
  readonly groupSizeBytes: number;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the planning that is done, 0 to 1. */
  readonly onProgress?: (fraction: number, tensor: string) => void;
}

/**
 * Decides how every tensor is quantized and which tensors are encoded together. It holds one
 * tensor's sample at a time.
 * @throws CheckpointError; CodecError when the target rate is out of range; the signal's reason.
 */
export async function planEncoding(options: EncodingPlanOptions): Promise<EncodingPlan> {
  const { checkpoint, recipe, chunkSizeBytes, groupSizeBytes, threads, signal } = options;
  const layout = layoutOf(options);
  const tensors = await tensorsToEncode(checkpoint);
  const matrices = tensors.filter(isMatrix);
  const quantization = await planQuantization({
    checkpoint,
    matrices,
    recipe,
    calibration: options.calibration,
    threads,
    signal,
    onProgress: (fraction, tensor) => options.onProgress?.(fraction, tensor),
  });
  const sharedCode =
    layout === 'paper' && matrices.length > 0
      ? await measureSharedCode({
          checkpoint,
          matrices,
          grids: gridsByName(quantization),
          calibrationFolder: options.calibration?.folder,
          threads,
          signal,
        })
      : null;
  await checkpoint.requireUnchanged();
  return {
    version: VERSION,
    recipe: recipeEntry(recipe, options.calibration),
    layout,
    sharedCode: sharedCode && huffmanCodeText(sharedCode),
    chunkSizeBytes,
    source: checkpoint.stamp,
    tensorBytes: tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
    peakMemoryBytes: encodePeakBytes({ files: checkpoint.files, tensors }),
    quantization,
    groups: groupItems({ files: checkpoint.files, tensors }, groupSizeBytes),
  };
}

/** EntroLLM's recipes are coded as the paper codes them, unless another layout is asked for. */
function layoutOf({ recipe, layout = 'auto' }: EncodingPlanOptions): Layout {
  return layout === 'auto' && recipe.kind === 'affine' ? 'streams' : layout;
}

/** @throws CheckpointError `SourceChanged` when the plan was made from another state. */
export function requirePlanned(checkpoint: Checkpoint, plan: EncodingPlan): void {
  if (canonicalJson(checkpoint.stamp) !== canonicalJson(plan.source)) {
    throw sourceChanged(checkpoint.path);
  }
}

/** A large plan takes long to hash, and each of its parts asks for it. */
const identities = new WeakMap<EncodingPlan, string>();

/** Tells plans apart: SHA-256 of all that they decide. */
export function planIdentity(plan: EncodingPlan): string {
  const known = identities.get(plan);
  if (known !== undefined) return known;
  const identity = sha256Now(Buffer.from(canonicalJson(plan)));
  identities.set(plan, identity);
  return identity;
}

/** The plan with its own hash, so that {@link parsePlan} can tell a damaged one. */
export function planText(plan: EncodingPlan): string {
  return canonicalJson({ identity: planIdentity(plan), plan });
}

/** @returns `undefined` for a text that {@link planText} of this version has not written. */
export function parsePlan(text: string): EncodingPlan | undefined {
  const value = parseJson(text);
  if (!isJsonObject(value) || !isOurs(value.plan)) return undefined;
  return planIdentity(value.plan) === value.identity ? value.plan : undefined;
}

/** With its hash right as well, this code wrote it: then its members need no check of their own. */
function isOurs(plan: unknown): plan is EncodingPlan {
  return isJsonObject(plan) && plan.version === VERSION;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function recipeEntry(recipe: TensorRecipe, calibration: Calibration | undefined): RecipeEntry {
  if (recipe.kind === 'affine') return { kind: 'affine', bits: recipe.bits };
  const tokens = calibration && { tokensSha256: calibration.statistics.tokensSha256 };
  const calibrated = tokens === undefined ? {} : { calibration: tokens };
  if (recipe.kind === 'quality') {
    return { kind: 'quality', targetSqnrDb: recipe.targetSqnrDb, ...calibrated };
  }
  return { kind: 'rate', targetBitsPerWeight: recipe.targetBitsPerWeight, ...calibrated };
}

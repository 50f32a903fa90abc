// The public entry of this room: how blocks are named, ranged over and mapped to one another. Pure arithmetic.

export { BlockError } from './errors.ts'
export { assertU64, U64_MAX } from './u64.ts'
export {
  BLOCK_SIZE,
  type BlockId,
  type BlockKind,
  blockKinds,
  equalBlockIds,
  formatBlockId,
  parseBlockId,
  validateBlockId,
} from './block-id.ts'
export {
  type BlockRange,
  coalesceIndexes,
  coalesceRanges,
  expandRanges,
  intersectRanges,
  rangeEnd,
  rangeHas,
  splitRange,
  validateRange,
} from './range.ts'
export { RangeMap, type RangePair, splitPair, validatePair } from './range-map.ts'
export { RunSet } from './run-set.ts'

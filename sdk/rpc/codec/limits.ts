/**
 * Bounds on what one message may make the reader do. The size in bytes is bounded by the transport; these bound the
 * stack (nesting) and the memory that few bytes can claim (two bytes on the wire are enough for an empty message).
 */

/** Messages within messages. */
export const maxDepth = 32

/** Values of all repeated and map fields of one message, nested ones included. */
export const maxElements = 1_000_000

// Attributes as structures and commands carry them: an integer whose reserved bits must be clear. The bits themselves
// are the tables of attributes.ts.
// Source: TPM 2.0 Library, Part 2, clauses 8 and 13.4, revision 1.59.

import { type Codec, UINT32, UINT8 } from './codec.ts'
import { TPMA_ALGORITHM, TPMA_NV, TPMA_OBJECT, TPMA_SESSION } from './attributes.ts'
import { TPM_RC } from './response-codes.ts'

/** An integer of which only the bits of `table` may be set; another is refused with TPM_RC_RESERVED_BITS. */
function bits(name: string, base: Codec<number>, table: Readonly<Record<string, number>>): Codec<number> {
  const reserved = ~Object.values(table).reduce((mask, bit) => mask | bit, 0)
  return {
    name,
    read: (reader) => {
      const value = base.read(reader)
      if ((value & reserved) !== 0) {
        reader.fail(
          `expected a ${name}, found reserved bits in 0x${value.toString(16)}`,
          TPM_RC.RESERVED_BITS,
        )
      }
      return value
    },
    write: (writer, value) => {
      if ((value & reserved) !== 0) {
        throw new RangeError(`expected a ${name}, got reserved bits in 0x${value.toString(16)}`)
      }
      base.write(writer, value)
    },
  }
}

/** How TPMA_OBJECT (8.3) is read and written. */
export const TPMA_OBJECT_BITS = bits('TPMA_OBJECT', UINT32, TPMA_OBJECT)
/** How TPMA_SESSION (8.4) is read and written. */
export const TPMA_SESSION_BITS = bits('TPMA_SESSION', UINT8, TPMA_SESSION)
/** How TPMA_ALGORITHM (8.2) is read and written. */
export const TPMA_ALGORITHM_BITS = bits('TPMA_ALGORITHM', UINT32, TPMA_ALGORITHM)
/** How TPMA_NV (13.4) is read and written. */
export const TPMA_NV_BITS = bits('TPMA_NV', UINT32, TPMA_NV)
/** How TPMA_LOCALITY (8.5) is read and written: every value means something. */
export const TPMA_LOCALITY_BITS = UINT8

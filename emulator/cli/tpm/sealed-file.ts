// A sealed secret in a file: what the TPM needs to open it again, nothing that opens without the TPM. JSON, so that jq can
// take it apart for tpm2_load.

import { fromHex, hex } from '../../../sdk/crypto/index.ts'
import {
  marshal,
  Tpm2Error,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  type TPMS_PCR_SELECTION,
  type TPMT_PUBLIC,
  unmarshal,
} from '../../../sdk/tpm2/index.ts'
import { bankName, selectionsText } from '../../../sdk/evidence/index.ts'
import { parsePcrText } from '../commands/eventlog-pcrs.ts'
import { CommandFailure, EXIT } from '../output.ts'
import { type PcrValue } from './pcrs.ts'
import { readInput, selectionsValue, writePrivate } from './values.ts'

const FORMAT = 'palimpsest-sealed-1'

/** A sealed secret. */
export interface Sealed {
  /** name of the storage key under which it is sealed: only the TPM that has this key opens it */
  readonly parentName: Uint8Array
  readonly public: TPMT_PUBLIC
  /** contents of a TPM2B_PRIVATE: encrypted for the storage key */
  readonly private: Uint8Array
  /** PCRs that must be as they were; empty: any */
  readonly pcrs: readonly TPMS_PCR_SELECTION[]
  /** how they were, to tell which changed; the policy itself holds only a digest */
  readonly values: readonly PcrValue[]
  /** whether an authorization value is asked for */
  readonly auth: boolean
}

/** Writes `sealed`, readable for its owner alone. */
export function writeSealed(path: string, sealed: Sealed): void {
  const content = {
    format: FORMAT,
    parent: { template: 'ecc-p256-srk', name: hex(sealed.parentName) },
    public: hex(marshal(TPM2B_PUBLIC, sealed.public)),
    private: hex(marshal(TPM2B_PRIVATE, sealed.private)),
    policy: { pcrs: sealed.pcrs.length === 0 ? null : selectionsText(sealed.pcrs), auth: sealed.auth },
    values: sealed.values.map(({ bank, pcr, value }) => ({ bank: bankName(bank), pcr, value: hex(value) })),
  }
  writePrivate(path, `${JSON.stringify(content, undefined, 2)}\n`)
}

/** Reads what writeSealed() wrote. Throws CommandFailure. */
export function readSealed(path: string): Sealed {
  const text = new TextDecoder().decode(readInput(path))
  try {
    return parseSealed(text)
  } catch (cause) {
    if (!(cause instanceof SyntaxError || cause instanceof TypeError || cause instanceof Tpm2Error))
      throw cause
    const expected = 'expected what "palimpsest tpm seal" wrote, found other or damaged contents'
    throw new CommandFailure(EXIT.usage, `${path}: ${expected}`, { cause })
  }
}

/** Throws SyntaxError, TypeError or Tpm2Error for anything else. */
function parseSealed(text: string): Sealed {
  const content = fieldsOf(JSON.parse(text))
  if (content['format'] !== FORMAT) throw new TypeError(`expected the format ${FORMAT}`)
  const [parent, policy] = [fieldsOf(content['parent']), fieldsOf(content['policy'])]
  const pcrs = policy['pcrs']
  return {
    parentName: bytesOf(parent['name']),
    public: unmarshal(TPM2B_PUBLIC, bytesOf(content['public'])),
    private: unmarshal(TPM2B_PRIVATE, bytesOf(content['private'])),
    pcrs: pcrs === null ? [] : selectionsValue(textOf(pcrs)),
    values: parsePcrText(text),
    auth: policy['auth'] === true,
  }
}

function fieldsOf(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  throw new TypeError('expected an object')
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  throw new TypeError('expected a text')
}

function bytesOf(value: unknown): Uint8Array {
  const text = textOf(value)
  if (/^([0-9a-f]{2})*$/.test(text)) return fromHex(text)
  throw new TypeError('expected hexadecimal digits')
}

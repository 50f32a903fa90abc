// Non-volatile storage: reading, writing and locking NV indices, and attesting what they hold. Defining and deleting them
// is in nv-space.ts.
// Source: TPM 2.0 Library, Part 3, clause 31, revision 1.59.

import {
  digestSize,
  hash,
  TPM2_NV_Certify,
  TPM2_NV_ChangeAuth,
  TPM2_NV_Extend,
  TPM2_NV_GlobalWriteLock,
  TPM2_NV_Increment,
  TPM2_NV_Read,
  TPM2_NV_ReadLock,
  TPM2_NV_ReadPublic,
  TPM2_NV_SetBits,
  TPM2_NV_Write,
  TPM2_NV_WriteLock,
  TPM_NT,
  TPM_RC,
  TPM_ST,
  type TPMS_NV_PUBLIC,
  trimAuth,
  nvIndexName,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { attestWith } from '../entities/attest.ts'
import { checkNvRead, checkNvWrite } from '../entities/nv-access.ts'
import { nvHas, nvType, setNvAttribute, visibleNv } from '../entities/nv-index.ts'
import { nvUint64, writeNv, writeNvUint64 } from '../entities/nv-store.ts'
import { TpmError } from '../errors.ts'
import { MAX_NV_BUFFER_SIZE } from '../profile.ts'
import { type NvRecord } from '../state/permanent.ts'
import { changed, type TpmState } from '../state/tpm-state.ts'
import { nvSpaceCommands } from './nv-space.ts'

interface NvRequest {
  readonly authHandle: number
  readonly nvIndex: number
}

/** The index that the command writes, which its authorization may write. */
function writable(tpm: TpmState, { authHandle, nvIndex }: NvRequest): NvRecord {
  const nv = visibleNv(tpm, nvIndex, 'nvIndex')
  checkNvWrite(nv, authHandle)
  return nv
}

/** Throws TpmError ATTRIBUTES unless the index is of this type (TPM_NT). */
function checkType(nv: NvRecord, type: number, what: string): void {
  if (nvType(nv.publicArea.attributes) === type) return
  throw new TpmError(TPM_RC.ATTRIBUTES, `expected ${what}, found an NV index of another type`, 'nvIndex')
}

const readPublic = implement(TPM2_NV_ReadPublic, (tpm, { nvIndex }) => {
  const { publicArea } = visibleNv(tpm, nvIndex, 'nvIndex')
  return { nvPublic: publicArea, nvName: nvIndexName(publicArea) }
})

/** Types whose contents only their own commands change. */
const NOT_WRITTEN: ReadonlySet<number> = new Set([TPM_NT.COUNTER, TPM_NT.BITS, TPM_NT.EXTEND])

const write = implement(TPM2_NV_Write, (tpm, request) => {
  const { data, offset } = request
  const nv = writable(tpm, request)
  if (NOT_WRITTEN.has(nvType(nv.publicArea.attributes))) {
    throw new TpmError(
      TPM_RC.ATTRIBUTES,
      'expected an index for data, found a counter, bit field or extended digest',
    )
  }
  checkRange(nv.publicArea, offset, data.length)
  if (nvHas(nv, 'WRITEALL') && data.length < nv.publicArea.dataSize) {
    const found = `expected all ${String(nv.publicArea.dataSize)} bytes, found ${String(data.length)}`
    throw new TpmError(TPM_RC.NV_RANGE, found)
  }
  writeNv(tpm, nv, offset, data)
  return {}
})

/** Throws TpmError VALUE for an offset, NV_RANGE for an end beyond the data. */
function checkRange({ dataSize }: TPMS_NV_PUBLIC, offset: number, size: number): void {
  if (offset > dataSize) {
    const found = `expected an offset up to ${String(dataSize)}, found ${String(offset)}`
    throw new TpmError(TPM_RC.VALUE, found, 'offset')
  }
  if (size > dataSize - offset) {
    const found = `expected at most ${String(dataSize - offset)} bytes from this offset, found ${String(size)}`
    throw new TpmError(TPM_RC.NV_RANGE, found)
  }
}

/** A counter starts above all that were ever deleted, so that no two indices in a row show the same count. */
const increment = implement(TPM2_NV_Increment, (tpm, request) => {
  const nv = writable(tpm, request)
  checkType(nv, TPM_NT.COUNTER, 'a counter')
  const count = nvHas(nv, 'WRITTEN') ? nvUint64(nv) : tpm.permanent.maxCounter
  writeNvUint64(tpm, nv, BigInt.asUintN(64, count + 1n))
  return {}
})

const extend = implement(TPM2_NV_Extend, (tpm, request) => {
  const nv = writable(tpm, request)
  checkType(nv, TPM_NT.EXTEND, 'an index that is extended')
  const { nameAlg } = nv.publicArea
  const before = nvHas(nv, 'WRITTEN') ? nv.data : new Uint8Array(digestSize(nameAlg))
  writeNv(tpm, nv, 0, hash(nameAlg, before, request.data))
  return {}
})

const setBits = implement(TPM2_NV_SetBits, (tpm, request) => {
  const nv = writable(tpm, request)
  checkType(nv, TPM_NT.BITS, 'a bit field')
  writeNvUint64(tpm, nv, (nvHas(nv, 'WRITTEN') ? nvUint64(nv) : 0n) | request.bits)
  return {}
})

const writeLock = implement(TPM2_NV_WriteLock, (tpm, request) => {
  const nv = visibleNv(tpm, request.nvIndex, 'nvIndex')
  if (nvHas(nv, 'WRITELOCKED')) return {}
  checkNvWrite(nv, request.authHandle)
  if (!nvHas(nv, 'WRITEDEFINE') && !nvHas(nv, 'WRITE_STCLEAR')) throw notLockable('writes')
  setNvAttribute(nv, 'WRITELOCKED', true)
  changed(tpm)
  return {}
})

const readLock = implement(TPM2_NV_ReadLock, (tpm, request) => {
  const nv = visibleNv(tpm, request.nvIndex, 'nvIndex')
  if (nvHas(nv, 'READLOCKED')) return {}
  checkReadLock(nv, request.authHandle)
  if (!nvHas(nv, 'READ_STCLEAR')) throw notLockable('reads')
  setNvAttribute(nv, 'READLOCKED', true)
  changed(tpm)
  return {}
})

/** As for reading; an index without data can be locked too. */
function checkReadLock(nv: NvRecord, authHandle: number): void {
  try {
    checkNvRead(nv, authHandle)
  } catch (error) {
    if (!(error instanceof TpmError) || error.rc !== TPM_RC.NV_UNINITIALIZED) throw error
  }
}

function notLockable(what: string): TpmError {
  return new TpmError(
    TPM_RC.ATTRIBUTES,
    `expected an index whose ${what} can be locked, found another`,
    'nvIndex',
  )
}

const globalWriteLock = implement(TPM2_NV_GlobalWriteLock, (tpm) => {
  for (const nv of tpm.permanent.nv.values()) {
    if (nvHas(nv, 'GLOBALLOCK')) setNvAttribute(nv, 'WRITELOCKED', true)
  }
  changed(tpm)
  return {}
})

const read = implement(TPM2_NV_Read, (tpm, request) => {
  const { size, offset } = request
  const nv = visibleNv(tpm, request.nvIndex, 'nvIndex')
  checkNvRead(nv, request.authHandle)
  checkBufferSize(size)
  checkRange(nv.publicArea, offset, size)
  return { data: nv.data.slice(offset, offset + size) }
})

function checkBufferSize(size: number): void {
  if (size <= MAX_NV_BUFFER_SIZE) return
  throw new TpmError(
    TPM_RC.VALUE,
    `expected at most ${String(MAX_NV_BUFFER_SIZE)}, found ${String(size)}`,
    'size',
  )
}

const changeAuth = implement(TPM2_NV_ChangeAuth, (tpm, { nvIndex, newAuth }) => {
  const nv = visibleNv(tpm, nvIndex, 'nvIndex')
  const authValue = trimAuth(newAuth)
  const limit = digestSize(nv.publicArea.nameAlg)
  if (authValue.length > limit) {
    const found = `expected at most ${String(limit)} bytes, found ${String(authValue.length)}`
    throw new TpmError(TPM_RC.SIZE, found, 'newAuth')
  }
  nv.authValue = authValue
  changed(tpm)
  return {}
})

/** Attests a part of the data or, with size and offset 0, a digest of all of it by the hash of the signature. */
const certify = implement(TPM2_NV_Certify, (tpm, request) => {
  const { signHandle, qualifyingData, inScheme, size, offset } = request
  const nv = visibleNv(tpm, request.nvIndex, 'nvIndex')
  const about = { signHandle, signHandleField: 'signHandle', qualifyingData, inScheme }
  const check = (): void => {
    checkNvRead(nv, request.authHandle)
    if (size + offset > nv.publicArea.dataSize) {
      const found = `expected at most ${String(nv.publicArea.dataSize)} bytes, found ${String(size + offset)}`
      throw new TpmError(TPM_RC.NV_RANGE, found)
    }
    checkBufferSize(size)
  }
  const indexName = nvIndexName(nv.publicArea)
  const { attest, signature } =
    size === 0 && offset === 0
      ? attestWith(tpm, {
          ...about,
          type: TPM_ST.ATTEST_NV_DIGEST,
          attested: (signer) => {
            check()
            return {
              indexName,
              nvDigest: signer === undefined ? NO_DIGEST : hash(signer.scheme.hashAlg, nv.data),
            }
          },
        })
      : attestWith(tpm, {
          ...about,
          type: TPM_ST.ATTEST_NV,
          attested: () => {
            check()
            return { indexName, offset, nvContents: nv.data.slice(offset, offset + size) }
          },
        })
  return { certifyInfo: attest, signature }
})

/** Without a key there is no scheme, and without a scheme no hash. */
const NO_DIGEST = new Uint8Array(0)

/** Clause 31. */
export const nvCommands: readonly Implementation[] = [
  ...nvSpaceCommands,
  readPublic,
  write,
  increment,
  extend,
  setBits,
  writeLock,
  globalWriteLock,
  read,
  readLock,
  changeAuth,
  certify,
]

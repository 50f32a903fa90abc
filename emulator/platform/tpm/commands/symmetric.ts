// Symmetric primitives: encryption with a symmetric key, and hashes and HMACs of data that fits one command.
// Source: TPM 2.0 Library, Part 3, clause 15, revision 1.59.

import {
  hash,
  hmac,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_Hash,
  TPM2_HMAC,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_ST,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { looksGenerated } from '../entities/generated.ts'
import { hmacKeyAt } from '../entities/hmac-key.ts'
import { keyAt } from '../entities/object-store.ts'
import { type TpmObject } from '../entities/object.ts'
import { makeTicket, nullTicket } from '../entities/tickets.ts'
import { TpmError } from '../errors.ts'
import { AES_BLOCK_SIZE, aesDecrypt, aesEncrypt, type SymmetricResult } from '../keys/index.ts'
import { SYMMETRIC_MODES } from '../profile.ts'
import { type TpmState } from '../state/tpm-state.ts'

interface EncryptDecryptRequest {
  readonly keyHandle: number
  readonly decrypt: boolean
  readonly mode: number
  readonly ivIn: Uint8Array
  readonly inData: Uint8Array
}

/** Both commands in one: they differ in the order of their parameters. */
function encryptDecrypt(tpm: TpmState, request: EncryptDecryptRequest): SymmetricResult {
  const { decrypt, ivIn, inData } = request
  const object = keyAt(tpm, request.keyHandle, 'keyHandle', TPM_RC.KEY)
  const mode = chooseMode(object, request)
  const ivSize = mode === TPM_ALG.ECB ? 0 : AES_BLOCK_SIZE
  if (ivIn.length !== ivSize) {
    throw new TpmError(TPM_RC.SIZE, `expected an IV of ${String(ivSize)} bytes, found another length`, 'ivIn')
  }
  const whole = mode === TPM_ALG.CBC || mode === TPM_ALG.ECB
  if (whole && inData.length % AES_BLOCK_SIZE !== 0) {
    throw new TpmError(TPM_RC.SIZE, 'expected whole blocks of 16 bytes, found a part of one', 'inData')
  }
  const { sensitive } = object.sensitive('keyHandle')
  return (decrypt ? aesDecrypt : aesEncrypt)(mode, sensitive, ivIn, inData)
}

/** The key's mode, or the caller's where the key leaves it open. Throws TpmError KEY, ATTRIBUTES or MODE. */
function chooseMode(object: TpmObject, request: EncryptDecryptRequest): number {
  const { publicArea } = object
  if (publicArea.type !== TPM_ALG.SYMCIPHER) {
    throw new TpmError(TPM_RC.KEY, 'expected a symmetric key, found another', 'keyHandle')
  }
  // Of a symmetric key, the attribute sign stands for encryption (Part 2, 8.3.3.10).
  if (object.has('restricted') || !object.has(request.decrypt ? 'decrypt' : 'sign')) {
    const found = 'expected an unrestricted key for this direction, found another'
    throw new TpmError(TPM_RC.ATTRIBUTES, found, 'keyHandle')
  }
  const { mode: own } = publicArea.parameters.sym
  if (own !== TPM_ALG.NULL && !SYMMETRIC_MODES.includes(own)) {
    throw new TpmError(TPM_RC.MODE, 'expected a key with a mode that encrypts, found another', 'keyHandle')
  }
  const chosen = own === TPM_ALG.NULL ? request.mode : own
  if (chosen === TPM_ALG.NULL || (request.mode !== TPM_ALG.NULL && request.mode !== chosen)) {
    throw new TpmError(TPM_RC.MODE, "expected the key's mode or the caller's, found none or two", 'mode')
  }
  return chosen
}

const hashCommand = implement(TPM2_Hash, (tpm, { data, hashAlg, hierarchy }) => {
  const outHash = hash(hashAlg, data)
  const validation =
    hierarchy === TPM_RH.NULL || looksGenerated(data)
      ? nullTicket(TPM_ST.HASHCHECK)
      : makeTicket(tpm, TPM_ST.HASHCHECK, hierarchy, { hashAlg, digest: outHash })
  return { outHash, validation }
})

const hmacCommand = implement(TPM2_HMAC, (tpm, { handle, buffer, hashAlg }) => {
  const chosen = hmacKeyAt(tpm, handle, hashAlg)
  return { outHMAC: hmac(chosen.hashAlg, chosen.key, buffer) }
})

/** Clause 15. */
export const symmetricCommands: readonly Implementation[] = [
  implement(TPM2_EncryptDecrypt, encryptDecrypt),
  implement(TPM2_EncryptDecrypt2, encryptDecrypt),
  hashCommand,
  hmacCommand,
]

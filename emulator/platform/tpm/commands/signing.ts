// Signing and signature verification.
// Source: TPM 2.0 Library, Part 3, clause 20, revision 1.59.

import {
  TPM2_Sign,
  TPM2_VerifySignature,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_ST,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { keyAt } from '../entities/object-store.ts'
import { checkDigestSize, chooseScheme, signDigest, signingKeyAt, verifyDigest } from '../entities/signing.ts'
import { checkTicket, makeTicket, nullTicket } from '../entities/tickets.ts'
import { TpmError } from '../errors.ts'

const verifySignature = implement(TPM2_VerifySignature, (tpm, { keyHandle, digest, signature }) => {
  const key = keyAt(tpm, keyHandle, 'keyHandle', TPM_RC.ATTRIBUTES)
  if (!key.has('sign')) {
    throw new TpmError(TPM_RC.ATTRIBUTES, 'expected a signing key, found one that does not sign', 'keyHandle')
  }
  verifyDigest(key, digest, signature, 'signature')
  const { hierarchy, name: keyName } = key
  const worthless = hierarchy === TPM_RH.NULL || key.publicArea.nameAlg === TPM_ALG.NULL
  const validation = worthless
    ? nullTicket(TPM_ST.VERIFIED)
    : makeTicket(tpm, TPM_ST.VERIFIED, hierarchy, { digest, keyName })
  return { validation }
})

/** What a restricted key signs must be known not to look like the TPM's own words: that is what the ticket says. */
const sign = implement(TPM2_Sign, (tpm, { keyHandle, digest, inScheme, validation }) => {
  const key = signingKeyAt(tpm, keyHandle, 'keyHandle')
  if (key.has('x509sign')) {
    throw new TpmError(
      TPM_RC.ATTRIBUTES,
      'expected a key that is not for X.509 alone, found one',
      'keyHandle',
    )
  }
  const scheme = chooseScheme(key, inScheme)
  const { hashAlg } = scheme
  if (validation.digest.length > 0 || key.has('restricted')) {
    checkTicket(tpm, validation, { hashAlg, digest }, 'validation')
  } else {
    checkDigestSize(digest, hashAlg, 'digest')
  }
  return { signature: signDigest(tpm, key, scheme, digest) }
})

/** Clause 20. */
export const signingCommands: readonly Implementation[] = [verifySignature, sign]

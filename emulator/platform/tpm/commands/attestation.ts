// Attestation commands: what the TPM says about objects, PCRs, sessions, audited commands and its clock.
// Source: TPM 2.0 Library, Part 3, clause 18, revision 1.59.

import {
  hash,
  marshal,
  TPM2_Certify,
  TPM2_CertifyCreation,
  TPM2_GetCommandAuditDigest,
  TPM2_GetSessionAuditDigest,
  TPM2_GetTime,
  TPM2_Quote,
  TPM_RC,
  TPM_RH,
  TPM_ST,
  UINT32,
} from '../../../../sdk/tpm2/index.ts'
import { implement, type Implementation } from '../dispatch/implementation.ts'
import { attestWith, clockInfo } from '../entities/attest.ts'
import { objectAt } from '../entities/object-store.ts'
import { checkSelection, implementedSelection, selectedDigest } from '../entities/pcr.ts'
import { isAnonymous } from '../entities/signing.ts'
import { checkTicket } from '../entities/tickets.ts'
import { TpmError } from '../errors.ts'
import { FIRMWARE_VERSION } from '../profile.ts'

const NONE = new Uint8Array(0)

const certify = implement(TPM2_Certify, (tpm, request) => {
  const { name, qualifiedName } = objectAt(tpm, request.objectHandle, 'objectHandle')
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_CERTIFY,
    // The qualified name would tie an anonymous signature to the parents of the object.
    attested: (signer) => ({
      name,
      qualifiedName: signer !== undefined && isAnonymous(signer.scheme.scheme) ? NONE : qualifiedName,
    }),
  })
  return { certifyInfo: attest, signature }
})

const certifyCreation = implement(TPM2_CertifyCreation, (tpm, request) => {
  const { creationHash, creationTicket } = request
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_CREATION,
    attested: () => {
      const { name } = objectAt(tpm, request.objectHandle, 'objectHandle')
      checkTicket(tpm, creationTicket, { name, creationHash }, 'creationTicket')
      return { objectName: name, creationHash }
    },
  })
  return { certifyInfo: attest, signature }
})

/** The PCRs are hashed with the hash of the scheme, so without a key there is no quote. */
const quote = implement(TPM2_Quote, (tpm, request) => {
  checkSelection(request.PCRselect, 'PCRselect')
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_QUOTE,
    attested: (signer) => {
      if (signer === undefined) {
        throw new TpmError(
          TPM_RC.SCHEME,
          'expected a scheme with a hash, found no key to sign with',
          'inScheme',
        )
      }
      const pcrSelect = implementedSelection(tpm, request.PCRselect, 'PCRselect')
      return { pcrSelect, pcrDigest: selectedDigest(tpm, pcrSelect, signer.scheme.hashAlg) }
    },
  })
  return { quoted: attest, signature }
})

const getSessionAuditDigest = implement(TPM2_GetSessionAuditDigest, (tpm, request) => {
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_SESSION_AUDIT,
    attested: () => {
      const session = tpm.volatile.sessions.get(request.sessionHandle)
      if (session?.auditDigest === undefined) {
        throw new TpmError(TPM_RC.TYPE, 'expected a session that audits, found another', 'sessionHandle')
      }
      const exclusiveSession = tpm.volatile.exclusiveSession === session.handle
      return { exclusiveSession, sessionDigest: session.auditDigest }
    },
  })
  return { auditInfo: attest, signature }
})

/** A signed digest is done with: the next audited command begins another. */
const getCommandAuditDigest = implement(TPM2_GetCommandAuditDigest, (tpm, request) => {
  const { hashAlg, commands, counter } = tpm.permanent.audit
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_COMMAND_AUDIT,
    attested: () => ({
      auditCounter: counter,
      digestAlg: hashAlg,
      auditDigest: tpm.volatile.reset.commandAuditDigest ?? NONE,
      commandDigest: hash(hashAlg, ...commands.map((code) => marshal(UINT32, code))),
    }),
  })
  if (request.signHandle !== TPM_RH.NULL) tpm.volatile.reset.commandAuditDigest = undefined
  return { auditInfo: attest, signature }
})

/** Time, counters and version are in plain sight here: the endorsement hierarchy's administrator asked for them. */
const getTime = implement(TPM2_GetTime, (tpm, request) => {
  const { attest, signature } = attestWith(tpm, {
    ...request,
    signHandleField: 'signHandle',
    type: TPM_ST.ATTEST_TIME,
    attested: () => ({
      time: { time: tpm.clock.time, clockInfo: clockInfo(tpm) },
      firmwareVersion: FIRMWARE_VERSION,
    }),
  })
  return { timeInfo: attest, signature }
})

/** Clause 18. */
export const attestationCommands: readonly Implementation[] = [
  certify,
  certifyCreation,
  quote,
  getSessionAuditDigest,
  getCommandAuditDigest,
  getTime,
]

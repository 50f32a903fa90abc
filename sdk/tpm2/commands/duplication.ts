// Duplication of objects. Source: TPM 2.0 Library, Part 3, clause 13, revision 1.59.

import { TPM2B_DATA, TPM2B_ENCRYPTED_SECRET, TPM2B_NAME, TPM2B_PRIVATE } from '../buffers.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_DH_OBJECT, TPMI_DH_OBJECT_PLUS } from '../handles.ts'
import { TPM2B_PUBLIC } from '../public.ts'
import { TPMT_SYM_DEF_OBJECT_PLUS } from '../schemes.ts'

/** TPM2_Duplicate (13.1). */
export const TPM2_Duplicate = command({
  name: 'TPM2_Duplicate',
  code: TPM_CC.Duplicate,
  handles: { objectHandle: handle(TPMI_DH_OBJECT, 'DUP'), newParentHandle: handle(TPMI_DH_OBJECT_PLUS) },
  parameters: { encryptionKeyIn: TPM2B_DATA, symmetricAlg: TPMT_SYM_DEF_OBJECT_PLUS },
  responseHandles: {},
  response: { encryptionKeyOut: TPM2B_DATA, duplicate: TPM2B_PRIVATE, outSymSeed: TPM2B_ENCRYPTED_SECRET },
})

/** TPM2_Rewrap (13.2). */
export const TPM2_Rewrap = command({
  name: 'TPM2_Rewrap',
  code: TPM_CC.Rewrap,
  handles: { oldParent: handle(TPMI_DH_OBJECT_PLUS, 'USER'), newParent: handle(TPMI_DH_OBJECT_PLUS) },
  parameters: { inDuplicate: TPM2B_PRIVATE, name: TPM2B_NAME, inSymSeed: TPM2B_ENCRYPTED_SECRET },
  responseHandles: {},
  response: { outDuplicate: TPM2B_PRIVATE, outSymSeed: TPM2B_ENCRYPTED_SECRET },
})

/** TPM2_Import (13.3). */
export const TPM2_Import = command({
  name: 'TPM2_Import',
  code: TPM_CC.Import,
  handles: { parentHandle: handle(TPMI_DH_OBJECT, 'USER') },
  parameters: {
    encryptionKey: TPM2B_DATA,
    objectPublic: TPM2B_PUBLIC,
    duplicate: TPM2B_PRIVATE,
    inSymSeed: TPM2B_ENCRYPTED_SECRET,
    symmetricAlg: TPMT_SYM_DEF_OBJECT_PLUS,
  },
  responseHandles: {},
  response: { outPrivate: TPM2B_PRIVATE },
})

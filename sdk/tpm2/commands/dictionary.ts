// Protection against dictionary attacks. Source: TPM 2.0 Library, Part 3, clause 25, revision 1.59.

import { UINT32 } from '../codec.ts'
import { command, handle } from '../command.ts'
import { TPM_CC } from '../constants.ts'
import { TPMI_RH_LOCKOUT } from '../handles.ts'

/** TPM2_DictionaryAttackLockReset (25.2). */
export const TPM2_DictionaryAttackLockReset = command({
  name: 'TPM2_DictionaryAttackLockReset',
  code: TPM_CC.DictionaryAttackLockReset,
  handles: { lockHandle: handle(TPMI_RH_LOCKOUT, 'USER') },
  parameters: {},
  responseHandles: {},
  response: {},
  nv: true,
})

/** TPM2_DictionaryAttackParameters (25.3). */
export const TPM2_DictionaryAttackParameters = command({
  name: 'TPM2_DictionaryAttackParameters',
  code: TPM_CC.DictionaryAttackParameters,
  handles: { lockHandle: handle(TPMI_RH_LOCKOUT, 'USER') },
  parameters: { newMaxTries: UINT32, newRecoveryTime: UINT32, lockoutRecovery: UINT32 },
  responseHandles: {},
  response: {},
  nv: true,
})

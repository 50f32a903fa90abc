// The variables that say what Secure Boot accepts, as the firmware measures them into PCR 7 when variables can be written.
// Source: EDK II edk2-stable202211, SecurityPkg/Tcg/Tcg2Dxe/Tcg2Dxe.c (MeasureAllSecureVariables) and
// SecurityPkg/Library/AuthVariableLib/AuthVariableLib.c (how SecureBoot comes about); UEFI Specification 2.10, clause 3.3.

import type { VariableData } from '../../../../sdk/evidence/index.ts'
import type { Variables } from './variables.ts'

/** EFI_GLOBAL_VARIABLE. */
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c'
/** EFI_IMAGE_SECURITY_DATABASE_GUID. */
const SECURITY_DATABASE = 'd719b2cb-3d3a-4596-a3bc-dad00e67656f'
/** gEfiSecureBootEnableDisableGuid. */
const SECURE_BOOT_ENABLE = 'f0a30bc7-af08-4556-99c4-001009c93a44'
const NONE = new Uint8Array()

/** The variables in the order in which they are measured; without a value where there is none. */
export function secureBootVariables(variables: Variables, supportsSecureBoot: boolean): VariableData[] {
  const stored = (guid: string, name: string) => ({ guid, name, data: variables.get(guid, name) ?? NONE })
  const secureBoot = supportsSecureBoot ? Uint8Array.of(Number(isOn(variables))) : NONE
  const timestamps = stored(SECURITY_DATABASE, 'dbt')
  return [
    { guid: GLOBAL, name: 'SecureBoot', data: secureBoot },
    stored(GLOBAL, 'PK'),
    stored(GLOBAL, 'KEK'),
    stored(SECURITY_DATABASE, 'db'),
    stored(SECURITY_DATABASE, 'dbx'),
    ...(timestamps.data.length > 0 ? [timestamps] : []),
  ]
}

/** SecureBoot is not stored: a platform key turns it on, unless the owner has turned it off. */
function isOn(variables: Variables): boolean {
  if (variables.get(GLOBAL, 'PK') === undefined) return false
  const enable = variables.get(SECURE_BOOT_ENABLE, 'SecureBootEnable')
  return enable === undefined || enable[0] === 1
}

// The P-256 key of a TPM point, for certificates in tests.

import { PublicKey } from '../../../../sdk/crypto/index.ts'
import { leftPad, type TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'

export function publicKeyOfPoint({ x, y }: TPMS_ECC_POINT): PublicKey {
  return PublicKey.fromPoint(leftPad(x, 32), leftPad(y, 32))
}

// Secrets shared by ECDH: a coordinate may come without its leading zeros, as tpm2-tools send about one in 256, and goes
// into KDFe as it came.

import { createECDH } from 'node:crypto'
import { expect, it } from 'vitest'
import { kdfe, marshal, recoverSecret, TPM_ALG, TPM_ECC, TPMS_ECC_POINT } from '../../../../sdk/tpm2/index.ts'
import { eccKey } from './decryption-keys.ts'

const SIZE = 32
const { publicArea, privateKey } = eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA256, 128)

/** An ephemeral key whose x begins with a zero octet. */
function ephemeralWithZero() {
  for (;;) {
    const point = new Uint8Array(createECDH('prime256v1').generateKeys())
    const [x, y] = [point.slice(1, 1 + SIZE), point.slice(1 + SIZE)]
    if (x[0] === 0) return { x, y }
  }
}

it.each(['with', 'without'])('an ephemeral x %s its leading zero gives the seed of its sender', (how) => {
  if (publicArea.type !== TPM_ALG.ECC) throw new TypeError('expected an ECC key')
  const { x, y } = ephemeralWithZero()
  const sent = how === 'with' ? x : x.slice(1)
  const z = privateKey.agree?.({ x, y }) ?? new Uint8Array()
  const seed = kdfe(TPM_ALG.SHA256, z, 'DUPLICATE', sent, publicArea.unique.x, 256)
  expect(recoverSecret(publicArea, privateKey, 'DUPLICATE', marshal(TPMS_ECC_POINT, { x: sent, y }))).toEqual(
    seed,
  )
})

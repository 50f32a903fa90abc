// Credentials and duplicated objects that sdk/tpm2 makes without a TPM, opened by TPMs.
// Source: TPM 2.0 Library, Part 1, clauses 23.3 (duplication) and 24 (credentials), revision 1.59.

import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import {
  type DuplicationWraps,
  hash,
  type KeyedHashPublic,
  makeCredential,
  marshal,
  objectName,
  protectorOf,
  shareSecret,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM_ALG,
  TPMA_OBJECT,
  type TPMT_PUBLIC,
  type TPMT_SENSITIVE,
  unmarshal,
  wrapDuplicate,
} from '../../../sdk/tpm2/index.ts'
import { credentialFile } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

const PARENTS = ['rsa2048:aes128cfb', 'ecc256:aes128cfb', 'ecc384:aes256cfb']
const NAME_ALG = new Map([['ecc384:aes256cfb', 'sha384']])
const DATA = 'sealed outside'

async function storageKey(t: Tools, algorithm: string): Promise<TPMT_PUBLIC> {
  const nameAlg = NAME_ALG.get(algorithm) ?? 'sha256'
  await t.ok(`tpm2_createprimary -Q -C o -G ${algorithm} -g ${nameAlg} -c parent.ctx`)
  await t.ok('tpm2_readpublic -Q -c parent.ctx -o parent.pub')
  return unmarshal(TPM2B_PUBLIC, t.read('parent.pub'))
}

/** Sealed data that may be duplicated: its public area and its sensitive one. */
function sealed(data: Uint8Array): { publicArea: KeyedHashPublic; sensitive: TPMT_SENSITIVE } {
  const seedValue = new Uint8Array(randomBytes(32))
  return {
    publicArea: {
      type: TPM_ALG.KEYEDHASH,
      nameAlg: TPM_ALG.SHA256,
      objectAttributes: TPMA_OBJECT.userWithAuth,
      authPolicy: new Uint8Array(0),
      parameters: { scheme: { scheme: TPM_ALG.NULL } },
      unique: hash(TPM_ALG.SHA256, seedValue, data),
    },
    sensitive: {
      sensitiveType: TPM_ALG.KEYEDHASH,
      authValue: new TextEncoder().encode('auth'),
      seedValue,
      sensitive: data,
    },
  }
}

/** Writes the files of a duplicate for `parent`. */
function writeDuplicate(t: Tools, parent: TPMT_PUBLIC, inner: DuplicationWraps['inner']): void {
  const { publicArea, sensitive } = sealed(new TextEncoder().encode(DATA))
  const { seed, secret } = shareSecret(parent, 'DUPLICATE')
  const wraps = { inner, outer: { parent: protectorOf(parent), seed } }
  const object = { name: objectName(publicArea), nameAlg: publicArea.nameAlg }
  t.write('object.pub', marshal(TPM2B_PUBLIC, publicArea))
  t.write('object.duplicate', marshal(TPM2B_PRIVATE, wrapDuplicate(wraps, object, sensitive)))
  t.write('object.seed', marshal(TPM2B_ENCRYPTED_SECRET, secret))
}

onEachTpm((on) => {
  it.each(PARENTS)(
    'a credential made here for an EK of %s opens, for the named object only',
    async (algorithm) => {
      const t = on()
      const ekPublic = await storageKey(t, algorithm)
      const write = (name: Uint8Array): void => {
        const credential = makeCredential({
          ekPublic,
          objectName: name,
          secret: new TextEncoder().encode(DATA),
        })
        t.write('credential', credentialFile(credential))
      }
      const activate = 'tpm2_activatecredential -Q -c parent.ctx -C parent.ctx -i credential -o secret'
      write(objectName(ekPublic))
      await t.ok(activate)
      expect(new TextDecoder().decode(t.read('secret'))).toBe(DATA)
      write(objectName(sealed(new Uint8Array(1)).publicArea))
      await t.refused(activate, 'TPM_RC_INTEGRITY, parameter 1')
    },
  )

  it.each(PARENTS)('an object wrapped here for a parent of %s is imported and used', async (algorithm) => {
    const t = on()
    writeDuplicate(t, await storageKey(t, algorithm), undefined)
    const files = '-u object.pub -i object.duplicate -s object.seed'
    await t.ok(`tpm2_import -Q -C parent.ctx ${files} -r object.private`)
    await t.ok('tpm2_load -Q -C parent.ctx -u object.pub -r object.private -c object.ctx')
    expect(await t.ok('tpm2_unseal -c object.ctx -p auth')).toBe(DATA)
    await t.refused('tpm2_unseal -c object.ctx -p other', 'TPM_RC_AUTH_FAIL, session 1')
  })

  it('an inner wrap opens with its key', async () => {
    const t = on()
    const key = new Uint8Array(randomBytes(16))
    writeDuplicate(t, await storageKey(t, 'ecc256:aes128cfb'), { key })
    t.write('inner.key', key)
    t.write('other.key', new Uint8Array(randomBytes(16)))
    const files = '-u object.pub -i object.duplicate -s object.seed'
    await t.refused(
      `tpm2_import -Q -C parent.ctx ${files} -k other.key -r object.private`,
      /ErrorCode \(0x0000[0-9a-f]{4}\)/,
    )
    await t.ok(`tpm2_import -Q -C parent.ctx ${files} -k inner.key -r object.private`)
    await t.ok('tpm2_load -Q -C parent.ctx -u object.pub -r object.private -c object.ctx')
    expect(await t.ok('tpm2_unseal -c object.ctx -p auth')).toBe(DATA)
  })
})

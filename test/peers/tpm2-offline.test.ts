// Credentials and duplicated objects that tpm2-tools make without a TPM, opened here with the same keys.
// What is made here and opened by TPMs: tpm/made-outside.test.ts.

import { generateKeyPairSync } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import {
  marshal,
  objectName,
  openCredential,
  protectorOf,
  recoverSecret,
  struct,
  TPM2B_ENCRYPTED_SECRET,
  TPM2B_ID_OBJECT,
  TPM2B_PRIVATE,
  TPM2B_PUBLIC,
  TPM_ALG,
  TPM_ECC,
  UINT32,
  unmarshal,
  unwrapDuplicate,
} from '../../sdk/tpm2/index.ts'
import { eccKey, rsaKey, type SoftwareKey } from '../unit/sdk/tpm2/decryption-keys.ts'
import { folderWith, type Outcome, removeFolders, requireTool, run } from './tool.ts'

const PACKAGE = 'tpm2-tools'
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const read = (folder: string, name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)))

const succeeded = ({ code, stderr }: Outcome): void => {
  expect({ code, stderr: code === 0 ? '' : stderr }).toEqual({ code: 0, stderr: '' })
}

afterEach(removeFolders)

/** A credential file of tpm2-tools: magic number, version and the two parts. */
interface CredentialFile {
  readonly magic: number
  readonly version: number
  readonly credentialBlob: Uint8Array
  readonly secret: Uint8Array
}
const CREDENTIAL_FILE = struct<CredentialFile>('credential file', {
  magic: UINT32,
  version: UINT32,
  credentialBlob: TPM2B_ID_OBJECT,
  secret: TPM2B_ENCRYPTED_SECRET,
})

const PARENTS: readonly (readonly [string, () => SoftwareKey])[] = [
  ['RSA 2048', () => rsaKey(TPM_ALG.SHA256, 128)],
  ['P-256', () => eccKey(TPM_ECC.NIST_P256, TPM_ALG.SHA256, 128)],
]
const SECRET = '0123456789abcdef0123456789abcdef'
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('tpm2-tools without a TPM', () => {
  for (const [kind, make] of PARENTS) {
    it(`tpm2_makecredential makes what the EK opens, for the named key only: ${kind}`, (context) => {
      const tool = requireTool(context, PACKAGE, 'tpm2_makecredential')
      const { publicArea: ekPublic, privateKey } = make()
      const name = objectName(make().publicArea)
      const folder = folderWith({ 'ek.pub': marshal(TPM2B_PUBLIC, ekPublic), secret: SECRET })
      const args = ['-T', 'none', '-u', 'ek.pub', '-s', 'secret', '-n', hex(name), '-o', 'credential']
      succeeded(run(folder, tool, ...args))
      const { credentialBlob, secret } = unmarshal(CREDENTIAL_FILE, read(folder, 'credential'))
      const credential = { ekPublic, ...privateKey, objectName: name, credentialBlob, secret }
      expect(openCredential(credential)).toEqual(utf8(SECRET))
      expect(() => openCredential({ ...credential, objectName: objectName(ekPublic) })).toThrow(
        /made for this EK and this object/,
      )
    })

    it(`tpm2_duplicate wraps a key for a parent that opens here: ${kind}`, (context) => {
      const tool = requireTool(context, PACKAGE, 'tpm2_duplicate')
      const parent = make()
      const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const folder = folderWith({
        'parent.pub': marshal(TPM2B_PUBLIC, parent.publicArea),
        'key.pem': privateKey.export({ format: 'pem', type: 'sec1' }),
      })
      const output = ['-u', 'key.pub', '-r', 'key.private', '-s', 'key.seed']
      const args = ['-T', 'none', '-U', 'parent.pub', '-k', 'key.pem', '-G', 'ecc', '-p', 'auth', ...output]
      succeeded(run(folder, tool, ...args))
      const publicArea = unmarshal(TPM2B_PUBLIC, read(folder, 'key.pub'))
      const secret = unmarshal(TPM2B_ENCRYPTED_SECRET, read(folder, 'key.seed'))
      const seed = recoverSecret(parent.publicArea, parent.privateKey, 'DUPLICATE', secret)
      const sensitive = unwrapDuplicate(
        { outer: { parent: protectorOf(parent.publicArea), seed } },
        { name: objectName(publicArea), nameAlg: publicArea.nameAlg },
        unmarshal(TPM2B_PRIVATE, read(folder, 'key.private')),
      )
      expect(sensitive).toMatchObject({ sensitiveType: TPM_ALG.ECC, authValue: utf8('auth') })
      const scalar = privateKey.export({ format: 'jwk' }).d ?? ''
      expect(Buffer.from(sensitive.sensitive).toString('base64url')).toBe(scalar)
    })
  }
})

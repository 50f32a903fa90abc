// tpm2-tools: RSA encryption, ECC key exchanges, curve parameters, ephemeral keys.
// Source: TPM 2.0 Library, Part 3, clauses 14 and 19, revision 1.59; SEC 2 (secp256r1 and so on).

import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import { expect, it } from 'vitest'
import { tamper, unhex } from './objects.ts'
import { onEachTpm, type Tools } from './tools.ts'

/** TPM_RC_VALUE, with or without the number of the parameter; swtpm has TPM_RC_FAILURE for whatever OpenSSL refuses. */
const NO_CIPHERTEXT = /ErrorCode \(0x0000(0084|01c4|0101)\)/

async function child(t: Tools, algorithm: string, options = ''): Promise<void> {
  await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
  await t.ok(`tpm2_create -Q -C p.ctx -G ${algorithm} -p key ${options} -u k.pub -r k.priv`)
  await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
  await t.ok('tpm2_readpublic -Q -c k.ctx -f pem -o k.pem')
}

/** Coordinates of a public key, in hexadecimal. */
function coordinates(key: ReturnType<typeof createPublicKey>): { x: string; y: string } {
  const { x = '', y = '' } = key.export({ format: 'jwk' })
  return { x: Buffer.from(x, 'base64url').toString('hex'), y: Buffer.from(y, 'base64url').toString('hex') }
}

/** TPM2B_ECC_POINT, as the tools keep points of P-256. */
const point = (x: string, y: string): Uint8Array => unhex(`0044 0020 ${x} 0020 ${y}`)
/** x and y of such a point. */
const readPoint = (bytes: Uint8Array): { x: string; y: string } => {
  const hex = Buffer.from(bytes).toString('hex')
  return { x: hex.slice(8, 72), y: hex.slice(76) }
}

onEachTpm((on) => {
  it.each([
    { scheme: 'rsaes', openssl: '' },
    { scheme: 'oaep', openssl: '-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256' },
  ])(
    'tpm2_rsaencrypt, tpm2_rsadecrypt with $scheme: both ways with openssl, with the password only',
    async ({ scheme, openssl }) => {
      const t = on()
      t.write('plain', 'plain text')
      await child(t, 'rsa2048')
      await t.ok(`tpm2_rsaencrypt -c k.ctx -s ${scheme} -o encrypted plain`)
      expect(await t.ok(`tpm2_rsadecrypt -c k.ctx -p key -s ${scheme} encrypted`)).toBe('plain text')
      await t.ok(`openssl pkeyutl -encrypt -pubin -inkey k.pem ${openssl} -in plain -out encrypted`)
      expect(await t.ok(`tpm2_rsadecrypt -c k.ctx -p key -s ${scheme} encrypted`)).toBe('plain text')
      await t.refused(
        `tpm2_rsadecrypt -c k.ctx -p wrong -s ${scheme} encrypted`,
        'TPM_RC_AUTH_FAIL, session 1',
      )
      tamper(t, 'encrypted', 'tampered')
      if (scheme === 'oaep')
        await t.refused(`tpm2_rsadecrypt -c k.ctx -p key -s ${scheme} tampered`, NO_CIPHERTEXT)

      // openssl decrypts what the TPM encrypted for its key.
      await t.ok('openssl genrsa -out own.pem 2048')
      await t.ok('openssl pkey -in own.pem -pubout -out own.pub.pem')
      await t.ok('tpm2_loadexternal -Q -C n -G rsa -u own.pub.pem -c own.ctx')
      await t.ok(`tpm2_rsaencrypt -c own.ctx -s ${scheme} -o encrypted plain`)
      expect(await t.ok(`openssl pkeyutl -decrypt -inkey own.pem ${openssl} -in encrypted`)).toBe(
        'plain text',
      )
      t.write('too-large', new Uint8Array(250))
      await t.refused(`tpm2_rsaencrypt -c own.ctx -s ${scheme} -o no too-large`, NO_CIPHERTEXT)
    },
  )

  it('tpm2_rsaencrypt -l: the label is part of OAEP', async () => {
    const t = on()
    t.write('plain', 'plain text')
    await child(t, 'rsa2048')
    await t.ok('tpm2_rsaencrypt -c k.ctx -s oaep -l label -o encrypted plain')
    expect(await t.ok('tpm2_rsadecrypt -c k.ctx -p key -s oaep -l label encrypted')).toBe('plain text')
    await t.refused('tpm2_rsadecrypt -c k.ctx -p key -s oaep -l other encrypted', NO_CIPHERTEXT)
  })

  it('tpm2_ecdhkeygen, tpm2_ecdhzgen: the same secret on both sides, and as computed', async () => {
    const t = on()
    await child(t, 'ecc256:ecdh')
    await t.ok('tpm2_ecdhkeygen -u ephemeral.pub -o secret -c k.ctx')
    await t.ok('tpm2_ecdhzgen -c k.ctx -p key -u ephemeral.pub -o again')
    expect(t.hex('again')).toBe(t.hex('secret'))
    const own = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const { x, y } = coordinates(own.publicKey)
    t.write('own.pub', point(x, y))
    await t.ok('tpm2_ecdhzgen -c k.ctx -p key -u own.pub -o z')
    const shared = diffieHellman({
      privateKey: own.privateKey,
      publicKey: createPublicKey(Buffer.from(t.read('k.pem'))),
    })
    expect(readPoint(t.read('z')).x).toBe(shared.toString('hex'))
    await t.refused('tpm2_ecdhzgen -c k.ctx -p wrong -u own.pub -o z', 'TPM_RC_AUTH_FAIL, session 1')
    tamper(t, 'own.pub', 'off-curve.pub')
    await t.refused('tpm2_ecdhzgen -c k.ctx -p key -u off-curve.pub -o z', 'TPM_RC_ECC_POINT, parameter 1')
    await t.ok('tpm2_createprimary -Q -C o -G rsa -c rsa.ctx')
    await t.refused('tpm2_ecdhkeygen -u no.pub -o no -c rsa.ctx', 'TPM_RC_KEY, handle 1')
  })

  it('tpm2_geteccparameters: P-256, P-384 and P-521 as in SEC 2; and no curve that is not there', async () => {
    const t = on()
    const curves = { ecc256: 'prime256v1', ecc384: 'secp384r1', ecc521: 'secp521r1' }
    for (const [curve, name] of Object.entries(curves)) {
      await t.ok(`tpm2_geteccparameters ${curve} -o parameters`)
      // The generator is the public key of the private key 1.
      const ecdh = createECDH(name)
      ecdh.setPrivateKey(Buffer.from([1]))
      const generator = ecdh.getPublicKey().subarray(1)
      const size = generator.length / 2
      const parameters = Buffer.from(t.read('parameters'))
      expect(parameters.includes(generator.subarray(0, size))).toBe(true)
      expect(parameters.includes(generator.subarray(size))).toBe(true)
    }
    await t.refused('tpm2_geteccparameters none-such -o no', /Invalid\/unsupported ECC curve/)
  })

  it('tpm2_ecephemeral, tpm2_zgen2phase: two keys on each side', async () => {
    const t = on()
    await child(t, 'ecc256:ecdh')
    await t.ok('tpm2_ecephemeral -u ephemeral.pub -t counter ecc256')
    const ours = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    const oursToo = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    for (const [name, { publicKey }] of [
      ['static', ours],
      ['passing', oursToo],
    ] as const) {
      const { x, y } = coordinates(publicKey)
      t.write(`${name}.pub`, point(x, y))
    }
    const counter = Buffer.from(t.read('counter')).readUInt16BE().toString()
    const zgen = `tpm2_zgen2phase -c k.ctx --static-public static.pub --ephemeral-public passing.pub --output-Z1 z1 --output-Z2 z2 -t ${counter}`
    await t.refused(`${zgen} -p wrong`, 'TPM_RC_AUTH_FAIL, session 1')
    await t.ok(`${zgen} -p key`)
    const z1 = diffieHellman({
      privateKey: ours.privateKey,
      publicKey: createPublicKey(Buffer.from(t.read('k.pem'))),
    })
    expect(readPoint(t.read('z1')).x).toBe(z1.toString('hex'))
    const { x, y } = readPoint(t.read('ephemeral.pub'))
    const jwk = {
      kty: 'EC',
      crv: 'P-256',
      x: Buffer.from(x, 'hex').toString('base64url'),
      y: Buffer.from(y, 'hex').toString('base64url'),
    }
    const z2 = diffieHellman({
      privateKey: oursToo.privateKey,
      publicKey: createPublicKey({ key: jwk, format: 'jwk' }),
    })
    expect(readPoint(t.read('z2')).x).toBe(z2.toString('hex'))
    await t.refused('tpm2_ecephemeral -u no.pub -t no none-such', /Invalid\/unsupported ECC curve/)
    // Each ephemeral key is good for one exchange.
    await t.refused(`${zgen} -p key`, 'TPM_RC_VALUE, parameter 4')
  })

  it('tpm2_commit: points for an anonymous signature, of a key with such a scheme only', async () => {
    const t = on()
    await child(t, 'ecc256:ecdaa')
    await t.refused(
      'tpm2_commit -c k.ctx -p wrong -t counter -u e --eccpoint-K k --eccpoint-L l',
      'TPM_RC_AUTH_FAIL, session 1',
    )
    await t.ok('tpm2_commit -c k.ctx -p key -t counter -u e --eccpoint-K k --eccpoint-L l')
    const before = Buffer.from(t.read('counter')).readUInt16BE()
    await t.ok('tpm2_commit -c k.ctx -p key -t counter -u e2 --eccpoint-K k --eccpoint-L l')
    expect(Buffer.from(t.read('counter')).readUInt16BE()).toBe(before + 1)
    expect(t.hex('e2')).not.toBe(t.hex('e'))
    await child(t, 'ecc256:ecdsa')
    await t.refused(
      'tpm2_commit -c k.ctx -p key -t counter -u e --eccpoint-K k --eccpoint-L l',
      'TPM_RC_SCHEME, handle 1',
    )
  })
})

// Sealing to one recipient: HPKE base mode, single shot (RFC 9180 section 6.1), with the one suite of this project,
// DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002, through @hpke/core over WebCrypto.
// Base mode does not authenticate the sender: whoever seals signs the result (sdk/grant).

import { Aes256Gcm, CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { assertBytes } from './bytes.ts'
import { SealError } from './errors.ts'
import { Secret, useKey, type KeyBytes } from './secret.ts'

/** Bytes of an X25519 public key, private key and encapsulated key. */
export const HPKE_KEY_LENGTH = 32

const suite = new CipherSuite({
  kem: new DhkemX25519HkdfSha256(),
  kdf: new HkdfSha256(),
  aead: new Aes256Gcm(),
})

/** A recipient's X25519 key pair: {@link HPKE_KEY_LENGTH} bytes each. */
export interface HpkeKeyPair {
  readonly publicKey: Uint8Array
  readonly privateKey: Secret
}

/** A sealed message: the encapsulated key (32 bytes), and the ciphertext with its 16-byte tag at the end. */
export interface Sealed {
  readonly enc: Uint8Array
  readonly ciphertext: Uint8Array
}

/** A fresh key pair; its owner wipes the private key when the lease ends. */
export async function generateHpkeKeyPair(): Promise<HpkeKeyPair> {
  const pair = await suite.kem.generateKeyPair()
  const [publicKey, privateKey] = await Promise.all([
    suite.kem.serializePublicKey(pair.publicKey),
    suite.kem.serializePrivateKey(pair.privateKey),
  ])
  return { publicKey: new Uint8Array(publicKey), privateKey: Secret.take(new Uint8Array(privateKey)) }
}

/**
 * Seals `plaintext` to the X25519 public key `recipient`. `info` binds the context, `aad` what goes with the message;
 * both must be given again to {@link open}. Throws {@link SealError} for a public key of small order, and TypeError or
 * RangeError for arguments of a wrong type or length.
 */
export async function seal(options: {
  readonly recipient: Uint8Array
  readonly info: Uint8Array
  readonly aad: Uint8Array
  readonly plaintext: KeyBytes
}): Promise<Sealed> {
  const { recipient, info, aad } = options
  assertBytes('recipient', recipient, HPKE_KEY_LENGTH)
  assertBytes('info', info)
  assertBytes('aad', aad)
  // The suite awaits before it reads the plaintext, so it must not be given memory lent by Secret.use.
  const plaintext = useKey(options.plaintext, (bytes) => new Uint8Array(bytes))
  try {
    const recipientPublicKey = await suite.kem.deserializePublicKey(recipient)
    const { enc, ct } = await suite.seal({ recipientPublicKey, info }, plaintext, aad)
    return { enc: new Uint8Array(enc), ciphertext: new Uint8Array(ct) }
  } catch (cause) {
    throw new SealError(
      'expected a valid X25519 public key to seal to, found one that gives no shared secret',
      { cause },
    )
  } finally {
    plaintext.fill(0)
  }
}

/**
 * Opens a sealed message. Throws {@link SealError} `UNSEAL_FAILED` when key, enc, info, aad or ciphertext is not the one
 * that was sealed, without saying which; TypeError or RangeError for arguments of a wrong type or length.
 */
export async function open(options: {
  readonly keyPair: HpkeKeyPair
  readonly enc: Uint8Array
  readonly info: Uint8Array
  readonly aad: Uint8Array
  readonly ciphertext: Uint8Array
}): Promise<Secret> {
  const { keyPair, enc, info, aad, ciphertext } = options
  for (const [name, bytes] of Object.entries({ enc, info, aad, ciphertext })) assertBytes(name, bytes)
  const privateKey = keyPair.privateKey.use((bytes) => new Uint8Array(bytes))
  try {
    const recipientKey = await suite.kem.deserializePrivateKey(privateKey)
    return Secret.take(new Uint8Array(await suite.open({ recipientKey, enc, info }, ciphertext, aad)))
  } catch (cause) {
    throw new SealError(
      'expected a message sealed to this key with this info and aad, found one that does not open; ask for a new one',
      { cause },
    )
  } finally {
    privateKey.fill(0)
  }
}

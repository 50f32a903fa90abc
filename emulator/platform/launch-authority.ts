// Launch secrets: a certificate for one launch of one worker, made by an authority that exists in this process only and
// only while it runs. Its key goes over the inherited pipe, so only the child that the platform measured and started can
// speak on the worker port in that launch's name (design, section 4).

import { IdentityKey, issueCertificate, selfSignedRoot, type Certificate } from '../../sdk/crypto/index.ts'
import type { TlsIdentity } from '../../sdk/rpc/index.ts'

/** Certificates end with the platform, long before they expire. */
const DAYS = 365

/** A launch secret. */
export interface LaunchSecret {
  readonly tls: TlsIdentity
  /** SHA-256 of the certificate's SubjectPublicKeyInfo: how the worker port recognises the launch. */
  readonly digest: Uint8Array
}

/** Makes launch secrets, and the identity of the worker port that accepts them. */
export class LaunchAuthority {
  readonly #key: IdentityKey
  readonly #root: Certificate
  readonly #serverNames: readonly string[]

  private constructor(key: IdentityKey, root: Certificate, serverNames: readonly string[]) {
    this.#key = key
    this.#root = root
    this.#serverNames = serverNames
  }

  /** A new authority with a key that is never stored. `serverNames` are those of the worker port. */
  static create(serverNames: readonly string[]): LaunchAuthority {
    const key = IdentityKey.generate()
    const root = selfSignedRoot({ key, subject: 'CN=Palimpsest worker launches', days: DAYS })
    return new LaunchAuthority(key, root, serverNames)
  }

  /** The worker port's own identity; it admits certificates of this authority. */
  port(): TlsIdentity {
    return this.#issue('platform', 'server').tls
  }

  /** A secret for a launch of `vm`. */
  launch(vm: string): LaunchSecret {
    return this.#issue(vm, 'client')
  }

  #issue(name: string, usage: 'client' | 'server'): LaunchSecret {
    const key = IdentityKey.generate()
    const certificate = issueCertificate({
      issuer: { certificate: this.#root, key: this.#key },
      publicKey: key.publicKey,
      subject: `CN=${name}`,
      days: DAYS,
      usages: [usage],
      ...(usage === 'server' ? { serverNames: this.#serverNames } : {}),
    })
    return {
      tls: { certificatePem: certificate.pem, keyPem: key.toPem(), caPem: this.#root.pem },
      digest: key.publicKey.digest,
    }
  }
}

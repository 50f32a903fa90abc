// The manufacturer: what it certifies verifies under its root alone, survives restarts, and belongs to one platform.

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Manufacturer } from '../../../../emulator/platform/endorsement.ts'
import { PlatformTpm } from '../../../../emulator/platform/platform-tpm.ts'
import { CertificateError, certificateKey, IdentityKey, verifyChain } from '../../../../sdk/crypto/index.ts'
import { CERTIFICATE_USAGE, platformKeys } from '../../../../sdk/evidence/index.ts'
import { checkAttestationKey, TPM_ALG } from '../../../../sdk/tpm2/index.ts'

function startedTpm(): PlatformTpm {
  const device = PlatformTpm.powerOn()
  device.startup()
  return device
}

describe('manufacturer', () => {
  let folder = ''

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'manufacturer-'))
  })

  afterEach(() => {
    rmSync(folder, { recursive: true })
  })

  it('certifies the EK and the report key, each for its own use, under the root that it exports', () => {
    const manufacturer = Manufacturer.open(folder)
    const { endorsement, reportKey, port } = manufacturer.endorse({ device: startedTpm(), folder })
    const roots = [readFileSync(manufacturer.rootPath, 'utf8')]
    const leaf = (chain: readonly Uint8Array[]) => chain[0] ?? new Uint8Array()
    const { ekPublic, akPublic } = platformKeys(endorsement)
    const usage = CERTIFICATE_USAGE.endorsementKey
    const ek = verifyChain({ leaf: leaf(endorsement.ekCertificates), roots, usage })
    expect(ekPublic.type === TPM_ALG.ECC && ekPublic.unique).toEqual(ek.point)
    expect(() => {
      checkAttestationKey(akPublic)
    }).not.toThrow()
    const report = leaf(endorsement.reportKeyCertificates)
    expect(
      verifyChain({ leaf: report, roots, usage: CERTIFICATE_USAGE.reportKey }).equals(reportKey.publicKey),
    ).toBe(true)
    expect(verifyChain({ leaf: port.certificate, roots, usage: 'server' }).equals(port.key.publicKey)).toBe(
      true,
    )
    expect(() => verifyChain({ leaf: report, roots, usage })).toThrow(CertificateError)
    expect(() =>
      verifyChain({ leaf: report, roots: [Manufacturer.open(join(folder, 'other')).root] }),
    ).toThrow(CertificateError)
  })

  it('keeps root, report key and certificates over restarts', () => {
    const device = startedTpm()
    const first = Manufacturer.open(folder).endorse({ device, folder })
    const second = Manufacturer.open(folder).endorse({ device, folder })
    expect(second.endorsement).toEqual(first.endorsement)
    expect(second.reportKey.publicKey.digest).toEqual(first.reportKey.publicKey.digest)
    expect(second.port.certificate.der).toEqual(first.port.certificate.der)
  })

  it('makes platforms that share the root and nothing else, and a new EK certificate for a new TPM', () => {
    const manufacturer = Manufacturer.open(folder)
    const one = manufacturer.endorse({ device: startedTpm(), folder: join(folder, 'one') })
    const two = manufacturer.endorse({ device: startedTpm(), folder: join(folder, 'two') })
    const again = manufacturer.endorse({ device: startedTpm(), folder: join(folder, 'one') })
    expect(two.reportKey.publicKey.equals(one.reportKey.publicKey)).toBe(false)
    expect(again.reportKey.publicKey.equals(one.reportKey.publicKey)).toBe(true)
    expect(again.endorsement.ekCertificates).not.toEqual(one.endorsement.ekCertificates)
    const renamed = manufacturer.endorse({
      device: startedTpm(),
      folder: join(folder, 'one'),
      serverNames: ['example.org'],
    })
    expect(renamed.port.certificate.der).not.toEqual(one.port.certificate.der)
  })

  it('keeps private keys to their owner', () => {
    Manufacturer.open(folder).endorse({ device: startedTpm(), folder })
    for (const file of ['root.key', 'report.key', 'port.key']) {
      expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600)
    }
    expect(readFileSync(join(folder, 'root.pem'), 'utf8')).not.toContain('PRIVATE')
  })

  it('refuses a root key that is not the root certificate’s', () => {
    const { root } = Manufacturer.open(folder)
    writeFileSync(join(folder, 'root.key'), IdentityKey.generate().toPem())
    expect(() => Manufacturer.open(folder)).toThrow(/expected root.key and root.pem in .* to belong together/)
    expect(certificateKey(readFileSync(join(folder, 'root.pem'), 'utf8')).equals(certificateKey(root))).toBe(
      true,
    )
  })
})

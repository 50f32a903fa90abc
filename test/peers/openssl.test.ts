// OpenSSL verifies the platform's certificates under the exported root, each for what it is, and not under another root.

import { afterEach, describe, expect, it } from 'vitest'
import { Manufacturer } from '../../emulator/platform/endorsement.ts'
import { MemoryTpmStore, TpmDevice } from '../../emulator/platform/tpm/index.ts'
import { folderWith, removeFolders, requireTool, run } from './tool.ts'

afterEach(removeFolders)

describe('openssl', () => {
  it('verifies EK, report key and port certificates under the exported root, and not under another', (context) => {
    const tool = requireTool(context, 'openssl', 'openssl')
    const folder = folderWith({})
    const device = TpmDevice.powerOn({ store: new MemoryTpmStore() })
    device.startup()
    Manufacturer.open(folder).endorse({ device, folder })
    const other = Manufacturer.open(folderWith({})).rootPath
    const verify = (root: string, ...args: string[]) =>
      run(folder, tool, 'verify', '-x509_strict', '-CAfile', root, ...args)
    for (const certificate of ['ek.pem', 'report.pem', 'port.pem']) {
      expect(verify('root.pem', certificate)).toMatchObject({ code: 0, stdout: `${certificate}: OK\n` })
      expect(verify(other, certificate).code).not.toBe(0)
    }
    expect(
      verify('root.pem', '-purpose', 'sslserver', '-verify_hostname', 'localhost', 'port.pem').code,
    ).toBe(0)
    expect(verify('root.pem', '-purpose', 'sslserver', 'report.pem').code).not.toBe(0)
    const text = run(folder, tool, 'x509', '-in', 'ek.pem', '-noout', '-text').stdout
    expect(text).toMatch(/Extended Key Usage: *\n *(2\.23\.133\.8\.1|Endorsement Key Certificate)/)
    expect(text).toMatch(/Key Usage: critical\n *Key Agreement/)
  })
})

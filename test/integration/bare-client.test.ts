/** The services as others' clients see them: with the published protos alone, and by reflection with no file at all. */
import { execFile } from 'node:child_process'
import path from 'node:path'
import { promisify } from 'node:util'
import { credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageRoot, startTestbed, type Testbed } from '../../emulator/testbed/index.ts'
import { type QuoteBytes, verifyQuote } from './bare-client/main.js'
import { Reflected } from './bare-client/reflection.ts'

const run = promisify(execFile)
const service = 'palimpsest.hypervisor.v1.HypervisorService'

let bed: Testbed
beforeAll(async () => {
  bed = await startTestbed()
  await bed.vm('vm-1')
  await bed.vm('vm-2')
})
afterAll(() => bed.close())

describe('a bare gRPC client', () => {
  it('[C-18] with the published protos alone lists VMs and fetches and verifies a quote', async () => {
    const script = path.join(import.meta.dirname, 'bare-client', 'main.js')
    const { hypervisor, operatorIdentity } = bed.addresses
    const { stdout } = await run(process.execPath, [
      script,
      hypervisor,
      operatorIdentity,
      path.join(packageRoot, 'protos'),
    ])
    expect(JSON.parse(stdout)).toEqual({ vms: ['vm-1', 'vm-2'], verified: true, changedVerified: false })
  })

  it('[C-18] learns everything from the server by reflection, and calls it', async () => {
    const { tls } = bed.authority.identity('operator', 'operator')
    const [ca, key, certificate] = [tls.caPem, tls.keyPem, tls.certificatePem].map((pem) => Buffer.from(pem))
    const reflected = await Reflected.of(
      bed.addresses.hypervisor,
      credentials.createSsl(ca, key, certificate),
    )
    expect(reflected.services).toEqual(
      expect.arrayContaining([service, 'palimpsest.hypervisor.v1.RelayService']),
    )
    const { vms } = await reflected.call(service, 'ListVms', {})
    expect(vms).toMatchObject([{ vm: 'vm-1', memory_bytes: '1048576' }, { vm: 'vm-2' }])
    const nonce = Buffer.alloc(32, 7)
    const selection = { hash: 0x000b, pcrs: [0, 4, 7] }
    const { quote } = await reflected.call(service, 'GetQuote', { selection, qualifying_data: nonce })
    const { endorsement } = await reflected.call(service, 'GetPlatform', {})
    reflected.close()
    const { ak_public: akPublic } = endorsement as { readonly ak_public: Buffer }
    expect(verifyQuote(quote as QuoteBytes, akPublic, nonce)).toBe(true)
    expect(verifyQuote(quote as QuoteBytes, akPublic, Buffer.alloc(32, 8))).toBe(false)
  })
})

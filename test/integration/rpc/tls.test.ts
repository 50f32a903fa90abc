/** Mutual TLS over TCP and UNIX sockets: who gets in, what the server learns of the caller. */
import { createHash, createPublicKey, X509Certificate } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { type CallContext, type TlsIdentity, createServer, loadTlsIdentity } from '../../../sdk/rpc/index.ts'
import { TestAuthority, failure, scratchFolder, startClient, startServer } from './support.ts'

let operator: TestAuthority
let server: TlsIdentity
let caller: TlsIdentity

beforeAll(async () => {
  operator = await TestAuthority.create()
  server = await operator.issue('hypervisor.test')
  caller = await operator.issue('vm-7')
})

const answer = { text: 'hello', certificateDigest: new Uint8Array(), subject: '' }

function whoCalls(_request: unknown, { peer }: CallContext) {
  return {
    ...answer,
    subject: peer.subject ?? '',
    certificateDigest: peer.certificateDigest ?? new Uint8Array(),
  }
}

function spkiDigest(identity: TlsIdentity): Uint8Array {
  const spki = createPublicKey(identity.certificatePem).export({ type: 'spki', format: 'der' })
  return new Uint8Array(createHash('sha256').update(spki).digest())
}

describe.each(['127.0.0.1:0', 'unix'])('mutual TLS on %s', (kind) => {
  const place = () => (kind === 'unix' ? {} : { address: kind })

  it("gives the handler the caller's name and key digest", async () => {
    const { address } = await startServer({ echo: whoCalls }, { tls: server, ...place() })
    const client = startClient(address, { tls: { ...caller, serverName: 'hypervisor.test' } })
    for (let call = 0; call < 3; call++) {
      const seen = await client.echo({ text: '' })
      expect(seen.subject).toBe('vm-7')
      expect(seen.certificateDigest).toEqual(spkiDigest(caller))
    }
  })

  it('answers a caller without certificate with UNAUTHENTICATED, for every rpc', async () => {
    const { address } = await startServer({ echo: whoCalls }, { tls: server, ...place() })
    const client = startClient(address, { tls: { caPem: operator.caPem, serverName: 'hypervisor.test' } })
    for (const call of [client.echo({ text: '' }), client.repeat({ count: 1, size: 1 }).next()]) {
      expect(await failure(call)).toMatchObject({ code: 'UNAUTHENTICATED', status: 'UNAUTHENTICATED' })
    }
  })

  it('answers a caller of another authority with UNAUTHENTICATED', async () => {
    const { address } = await startServer({ echo: whoCalls }, { tls: server, ...place() })
    const stranger = await (await TestAuthority.create('other')).issue('vm-7')
    const tls = { ...stranger, caPem: operator.caPem, serverName: 'hypervisor.test' }
    expect(await failure(startClient(address, { tls }).echo({ text: '' }))).toMatchObject({
      code: 'UNAUTHENTICATED',
    })
  })

  it('refuses a caller of an authority that only has the right name', async () => {
    const { address } = await startServer({ echo: whoCalls }, { tls: server, ...place() })
    const impostor = await (await TestAuthority.create()).issue('vm-7')
    const tls = { ...impostor, caPem: operator.caPem, serverName: 'hypervisor.test' }
    const { code } = await failure(startClient(address, { tls }).echo({ text: '' }))
    // TLS may already end the connection, for the signature does not verify.
    expect(['UNAUTHENTICATED', 'UNAVAILABLE']).toContain(code)
  })

  it('refuses a server of another name or another authority', async () => {
    const { address } = await startServer({ echo: whoCalls }, { tls: server, ...place() })
    const wrongName = { ...caller, serverName: 'worker.test' }
    expect((await failure(startClient(address, { tls: wrongName }).echo({ text: '' }))).code).toBe(
      'UNAVAILABLE',
    )
    const other = await TestAuthority.create()
    const wrongAuthority = { ...caller, caPem: other.caPem, serverName: 'hypervisor.test' }
    expect((await failure(startClient(address, { tls: wrongAuthority }).echo({ text: '' }))).code).toBe(
      'UNAVAILABLE',
    )
  })
})

describe('plaintext', () => {
  it('is refused on addresses that others can reach', async () => {
    await expect(createServer({ services: [] }).listen('0.0.0.0:0')).rejects.toThrow(/expected tls/)
  })
})

describe('identity folders', () => {
  function write(files: Readonly<Record<string, string>>): string {
    const folder = path.join(scratchFolder(), 'vm-7')
    mkdirSync(folder)
    for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text)
    return folder
  }

  it('are read', () => {
    const folder = write({
      'certificate.pem': caller.certificatePem,
      'key.pem': caller.keyPem,
      'ca.pem': caller.caPem,
    })
    expect(new X509Certificate(loadTlsIdentity(folder).certificatePem).subject).toBe('CN=vm-7')
  })

  it.each([
    ['a missing file', { 'certificate.pem': 'x' }, /key\.pem/],
    [
      'text that is no PEM',
      { 'certificate.pem': 'x', 'key.pem': 'y', 'ca.pem': 'z' },
      /a certificate in PEM/,
    ],
  ])('with %s are refused by name', (_case, files, message) => {
    expect(() => loadTlsIdentity(write(files))).toThrow(message)
  })

  it('with the key of another certificate are refused', () => {
    const folder = write({
      'certificate.pem': caller.certificatePem,
      'key.pem': server.keyPem,
      'ca.pem': caller.caPem,
    })
    expect(() => loadTlsIdentity(folder)).toThrow(/expected the private key of the certificate/)
  })
})

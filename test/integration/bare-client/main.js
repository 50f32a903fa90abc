// A client that knows nothing of this package but its published .proto files: @grpc/grpc-js and @grpc/proto-loader as
// they are. Lists the VMs, fetches a quote for its own nonce and checks it with node:crypto alone.
// Usage: node main.js ADDRESS IDENTITY_FOLDER PROTOS_FOLDER
// Source: TPM 2.0 Library, Part 2, TPMT_PUBLIC (12.2.4), TPMS_ATTEST (10.12.12), TPMT_SIGNATURE (11.3.4).

import { Buffer } from 'node:buffer'
import { createPublicKey, randomBytes, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

/** Reads the 16-bit length at `at` and the bytes after it: a TPM2B. */
const sized = (bytes, at) => bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at))

/** Whether `attest` is a quote with `nonce` in it, signed by the P-256 key of the public area. */
export function verifyQuote({ attest, signature }, akPublic, nonce) {
  const point = 8 + 2 + akPublic.readUInt16BE(8) + 10
  const x = sized(akPublic, point)
  const y = sized(akPublic, point + 2 + x.length)
  const jwk = { kty: 'EC', crv: 'P-256', x: x.toString('base64url'), y: y.toString('base64url') }
  const [r, s] = [sized(signature, 4), sized(signature, 4 + 2 + signature.readUInt16BE(4))]
  const raw = Buffer.concat([r, s].map((part) => Buffer.concat([Buffer.alloc(32 - part.length), part])))
  const signed = verify(
    'sha256',
    attest,
    { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
    raw,
  )
  const extraData = sized(attest, 6 + 2 + attest.readUInt16BE(6))
  return (
    signed &&
    attest.readUInt32BE(0) === 0xff544347 &&
    attest.readUInt16BE(4) === 0x8018 &&
    nonce.equals(extraData)
  )
}

async function main([address, identity, protos]) {
  const file = 'palimpsest/hypervisor/v1/hypervisor.proto'
  const { palimpsest } = grpc.loadPackageDefinition(loadSync(file, { includeDirs: [protos], keepCase: true }))
  const [ca, key, certificate] = ['ca.pem', 'key.pem', 'certificate.pem'].map((name) =>
    readFileSync(join(identity, name)),
  )
  const client = new palimpsest.hypervisor.v1.HypervisorService(
    address,
    grpc.credentials.createSsl(ca, key, certificate),
  )
  const call = (name, request) => promisify(client[name].bind(client))(request)
  const { vms } = await call('ListVms', {})
  const nonce = randomBytes(32)
  const { quote } = await call('GetQuote', {
    selection: { hash: 0x000b, pcrs: [0, 4, 7] },
    qualifying_data: nonce,
  })
  const { endorsement } = await call('GetPlatform', {})
  client.close()
  const verified = verifyQuote(quote, endorsement.ak_public, nonce)
  const changed = { ...quote, attest: Buffer.from(quote.attest) }
  changed.attest[changed.attest.length - 1] ^= 1
  return {
    vms: vms.map(({ vm }) => vm),
    verified,
    changedVerified: verifyQuote(changed, endorsement.ak_public, nonce),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  process.stdout.write(`${JSON.stringify(await main(process.argv.slice(2)))}\n`)
}

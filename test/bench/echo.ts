// The peer for latencies: a server of bare grpc-js in a process of its own, that sends back what it gets.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'

const METHOD = '/echo.Echo/Echo'
const PAYLOAD = Buffer.alloc(64)
const same = (bytes: Buffer) => bytes

const SERVER = `
const { Server, ServerCredentials } = require('@grpc/grpc-js')
const same = (bytes) => bytes
const server = new Server()
server.addService(
  { Echo: { path: '${METHOD}', requestStream: false, responseStream: false, requestSerialize: same,
    requestDeserialize: same, responseSerialize: same, responseDeserialize: same } },
  { Echo: (call, answer) => answer(null, call.request) })
server.bindAsync(process.argv[1], ServerCredentials.createInsecure(), () => console.log('ready'))
`

/** A running peer. */
export interface Echo {
  /** One round trip of 64 bytes each way. */
  call(): Promise<void>
  close(): Promise<void>
}

/** Starts the peer. */
export async function startEcho(): Promise<Echo> {
  const folder = mkdtempSync(join(tmpdir(), 'echo-'))
  const address = `unix:${join(folder, 'echo.sock')}`
  const child = spawn(process.execPath, ['-e', SERVER, address], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const client = new Client(address, credentials.createInsecure())
  return {
    call: () =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(METHOD, same, same, PAYLOAD, (error) => {
          if (error) reject(error)
          else resolve()
        })
      }),
    close: async () => {
      client.close()
      child.kill()
      await new Promise((resolve) => child.once('exit', resolve))
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

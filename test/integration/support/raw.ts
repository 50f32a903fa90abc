/** Calls as no honest client makes them: any bytes to any rpc, over grpc-js alone, with the status as it stands there. */
import type { Readable } from 'node:stream'
import { Client, credentials, status, type ServiceError } from '@grpc/grpc-js'
import type { PalimpsestError, TlsIdentity } from '../../../sdk/rpc/index.ts'
import type { MethodSchema } from '../../../sdk/rpc/codec/schema.ts'
import { fromCallError } from '../../../sdk/rpc/status.ts'

/** How a call ended. */
export interface RawAnswer {
  /** Name of the gRPC status. */
  readonly status: string
  readonly error: PalimpsestError | undefined
}

/** A client that sends bytes. */
export class RawClient {
  readonly #client: Client

  /**
   * `serverName` as for ClientTls. Without a key there is no certificate to show; without an authority any server is
   * good enough, as for somebody who wants in.
   */
  constructor(address: string, tls: Partial<TlsIdentity>, serverName = 'localhost') {
    const pem = (text: string | undefined) => (text === undefined ? null : Buffer.from(text))
    this.#client = new Client(
      address,
      credentials.createSsl(pem(tls.caPem), pem(tls.keyPem), pem(tls.certificatePem), {
        rejectUnauthorized: tls.caPem !== undefined,
      }),
      { 'grpc.ssl_target_name_override': serverName, 'grpc.default_authority': serverName },
    )
  }

  /** Sends `bytes` as the one request of `method` and resolves at its end. */
  send(method: Pick<MethodSchema, 'path' | 'kind'>, bytes: Uint8Array): Promise<RawAnswer> {
    const request = Buffer.from(bytes)
    const options = { deadline: Date.now() + 20_000 }
    return new Promise((resolve) => {
      const done = (error: ServiceError | null) => {
        if (!error) resolve({ status: 'OK', error: undefined })
        else resolve({ status: status[error.code], error: fromCallError(error, method.path) })
      }
      if (method.kind === 'unary') {
        this.#client.makeUnaryRequest(method.path, pass, pass, request, options, done)
        return
      }
      if (method.kind === 'server-stream') {
        drain(this.#client.makeServerStreamRequest(method.path, pass, pass, request, options), done)
        return
      }
      const call = this.#client.makeBidiStreamRequest(method.path, pass, pass, options)
      drain(call, done)
      call.write(request)
      call.end()
    })
  }

  close(): void {
    this.#client.close()
  }
}

function drain(call: Readable, done: (error: ServiceError | null) => void): void {
  call.on('error', done)
  call.on('data', () => undefined)
  call.on('end', () => {
    done(null)
  })
}

const pass = (bytes: Buffer): Buffer => bytes

/** The runtime in a single-file image that is fed to `node -` on stdin, and reflection where files can be read. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { Client, credentials } from '@grpc/grpc-js'
import { build } from 'esbuild'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EchoService } from '../../vectors/rpc/contract/index.ts'
import { scratchFolder, startClient, startServer } from './support.ts'

const answer = { text: 'hello', subject: '', certificateDigest: new Uint8Array() }

describe('a single-file image', () => {
  it('serves from stdin, without any file beside it', async () => {
    const folder = scratchFolder()
    const socket = path.join(folder, 's.sock')
    const contents = `
      import { createServer, implement, onShutdown } from './sdk/rpc/index.ts'
      import { EchoService } from './test/vectors/rpc/contract/index.ts'
      const answer = ({ text }) => ({ text, subject: '', certificateDigest: new Uint8Array() })
      const server = createServer({ services: [implement(EchoService, { echo: answer })] })
      onShutdown([{ name: 'server', close: () => server.close() }])
      server.listen(${JSON.stringify(`unix:${socket}`)}).then(() => console.log('ready'))`
    const resolveDir = path.resolve(import.meta.dirname, '../../..')
    const bundle = await build({
      stdin: { contents, resolveDir, loader: 'ts' },
      bundle: true,
      platform: 'node',
      format: 'cjs',
      write: false,
      logLevel: 'silent',
    })
    const child = spawn(process.execPath, ['-'], { cwd: folder, stdio: ['pipe', 'pipe', 'inherit'] })
    onTestFinished(() => {
      child.kill('SIGKILL')
    })
    child.stdin.end(bundle.outputFiles[0]?.text)
    await once(child.stdout, 'data')
    const client = startClient(`unix:${socket}`)
    expect((await client.echo({ text: 'from stdin' })).text).toBe('from stdin')
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
  })
})

describe('reflection', () => {
  it('lists the services and describes their messages', async () => {
    const { address } = await startServer({ echo: () => answer }, { reflection: true })
    const client = new Client(address, credentials.createInsecure())
    onTestFinished(() => {
      client.close()
    })
    const pass = (bytes: Buffer) => bytes
    const call = client.makeBidiStreamRequest(
      '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
      pass,
      pass,
    )
    const answers = call[Symbol.asyncIterator]()
    const ask = async (field: number, text: string): Promise<string> => {
      call.write(Buffer.concat([Buffer.from([(field << 3) | 2, text.length]), Buffer.from(text)]))
      const next = await answers.next()
      return (next.value as Buffer).toString('latin1')
    }
    expect(await ask(7, '*')).toContain(EchoService.typeName)
    const file = await ask(4, EchoService.typeName)
    expect(file).toContain('certificate_digest')
    call.end()
  })
})

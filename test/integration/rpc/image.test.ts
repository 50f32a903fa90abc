/** The runtime in a single-file image that is fed to `node -` on stdin, with no file beside it. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { build } from 'esbuild'
import { describe, expect, it, onTestFinished } from 'vitest'
import { EchoService } from '../../vectors/rpc/contract/index.ts'
import { reflect, scratchFolder, startClient } from './support.ts'

describe('a single-file image', () => {
  it('serves from stdin, reflection too, without any file beside it', async () => {
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
    expect((await reflect(`unix:${socket}`)).services).toEqual([EchoService.typeName])
    const exit = once(child, 'exit')
    child.kill('SIGTERM')
    expect(await exit).toEqual([0, null])
  })
})

/** Launching, losing and replacing the worker. */
import { describe, expect, it } from 'vitest'
import type { WorkerPort } from '../../../../emulator/hypervisor/ports.ts'
import { Deferred } from '../../../../emulator/hypervisor/waiting.ts'
import { WorkerLink } from '../../../../emulator/hypervisor/worker-link.ts'
import { PalimpsestError, silentLogger } from '../../../../sdk/rpc/index.ts'
import { settled } from './fakes.ts'

/** A host whose workers come up when the test says so. */
class Stage {
  readonly launched: string[] = []
  readonly terminated: string[] = []
  readonly told: string[] = []
  /** Names that are in use. */
  readonly taken = new Set<string>()
  /** Names whose audit logs are kept. */
  readonly remembered = new Set<string>()
  /** Images that never come up. */
  readonly broken = new Set<string>()
  readonly #streams: Deferred<void>[] = []
  readonly link: WorkerLink

  constructor() {
    this.link = new WorkerLink({
      platform: {
        launchWorker: ({ vm, imagePath }) => {
          if (this.taken.has(vm)) return Promise.reject(new PalimpsestError('ALREADY_EXISTS', 'runs'))
          if (imagePath === 'missing')
            return Promise.reject(new PalimpsestError('INVALID_ARGUMENT', 'no file'))
          this.launched.push(`${vm} ${imagePath}`)
          if (imagePath === 'unheard')
            return Promise.reject(new PalimpsestError('UNAVAILABLE', 'the connection broke'))
          return Promise.resolve({
            report: new Uint8Array(),
            measurement: Uint8Array.of(1),
            pid: this.launched.length,
          })
        },
        terminateVm: ({ vm }) => {
          this.terminated.push(vm)
          return Promise.resolve({})
        },
      },
      runDirectory: '/run/test',
      tls: { certificatePem: '', keyPem: '', caPem: '' },
      dataAddress: () => 'unix:/run/test/data.sock',
      isTaken: (name) => this.remembered.has(name),
      connect: () => this.#connect(),
      logLevel: 'silent',
      log: silentLogger,
    })
    this.link.observe(
      () => this.told.push('up'),
      (error) => this.told.push(error.code),
    )
  }

  /** The copy stream of the newest worker breaks. */
  breakStream(): void {
    this.#streams.at(-1)?.reject(new PalimpsestError('UNAVAILABLE', 'broken'))
  }

  #connect(): ReturnType<ConstructorParameters<typeof WorkerLink>[0]['connect']> {
    const stream = new Deferred<void>()
    this.#streams.push(stream)
    const isBroken = this.broken.has(this.launched.at(-1)?.split(' ')[1] ?? '')
    // eslint-disable-next-line require-yield
    const copy = async function* (): AsyncGenerator<never, void, undefined> {
      await stream.promise
    }
    return {
      worker: { copy } as unknown as WorkerPort,
      ready: () => (isBroken ? new Promise<void>(() => undefined) : Promise.resolve()),
      close: () => {
        stream.resolve()
      },
    }
  }
}

const image = (path: string): { path: string; faultPoints: boolean } => ({ path, faultPoints: false })

describe('the worker of a host', () => {
  it('is refused while there is none', () => {
    expect(() => new Stage().link.worker).toThrow(expect.objectContaining({ code: 'WORKER_UNAVAILABLE' }))
  })

  it('gets a name that no kept audit log has', async () => {
    const stage = new Stage()
    for (const name of ['worker-1', 'worker-2']) stage.remembered.add(name)
    expect(await stage.link.start(image('a'))).toMatchObject({ name: 'worker-3' })
    expect(stage.launched).toEqual(['worker-3 a'])
  })

  it('takes the first name that is free', async () => {
    const stage = new Stage()
    stage.taken.add('worker-1')
    expect(await stage.link.start(image('a'))).toMatchObject({ name: 'worker-2' })
    expect(stage.told).toEqual(['up'])
  })

  it('is started again when its process ends', async () => {
    const stage = new Stage()
    await stage.link.start(image('a'))
    stage.link.exited('worker-1', 'SIGKILL')
    expect(stage.told).toEqual(['up', 'WORKER_UNAVAILABLE'])
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(stage.told).toEqual(['up', 'WORKER_UNAVAILABLE', 'up'])
    expect(stage.link.running?.name).toBe('worker-2')
    await stage.link.stop()
  })

  it('is ended when its stream breaks, so that it can not copy unseen', async () => {
    const stage = new Stage()
    await stage.link.start(image('a'))
    stage.breakStream()
    await settled()
    expect(stage.terminated).toEqual(['worker-1'])
    expect(stage.link.isUp).toBe(false)
    await stage.link.stop()
  })

  it.each(['missing', 'broken'])('stays when an image that is %s shall replace it', async (path) => {
    const stage = new Stage()
    await stage.link.start(image('a'))
    stage.broken.add('broken')
    const start = stage.link.start(image(path))
    start.catch(() => undefined)
    await settled()
    stage.link.exited('worker-2', 'exit code 1')
    await expect(start).rejects.toBeInstanceOf(PalimpsestError)
    expect(stage.link.running?.name).toBe('worker-1')
    expect(stage.told).toEqual(['up'])
  })

  it('is ended when the answer to its launch is lost, and one of the same name as another is not', async () => {
    const stage = new Stage()
    stage.taken.add('worker-1')
    await expect(stage.link.start(image('unheard'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(stage.terminated).toEqual(['worker-2'])
    await stage.link.stop()
  })

  it('is ended when another has come up', async () => {
    const stage = new Stage()
    await stage.link.start(image('a'))
    await stage.link.start(image('b'))
    expect(stage.told).toEqual(['up', 'WORKER_UNAVAILABLE', 'up'])
    expect(stage.terminated).toEqual(['worker-1'])
    expect(stage.link.running?.name).toBe('worker-2')
  })

  it('is not started again when the host stops', async () => {
    const stage = new Stage()
    await stage.link.start(image('a'))
    await stage.link.stop()
    await settled()
    expect(stage.launched).toHaveLength(1)
    await expect(stage.link.start(image('a'))).rejects.toMatchObject({ code: 'WORKER_UNAVAILABLE' })
  })
})

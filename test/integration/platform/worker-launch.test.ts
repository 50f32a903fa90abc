// Workers and the hypervisor as the platform launches them: real processes, measured bytes, launch secrets, lifelines.

import { createHash } from 'node:crypto'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { equalBytes, hex } from '../../../sdk/crypto/index.ts'
import { parseLaunchReport } from '../../../sdk/evidence/index.ts'
import {
  EventReader,
  lives,
  newFolder,
  readShown,
  refusal,
  TestPlatform,
  until,
  waitingImage,
} from './support.ts'

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

/** SHA-384 of the VMSA page of a worker's vCPU, by another implementation. */
const VCPU =
  '77920c4c629ff47e90c0e174fc1ad0eb6fa664f88cd4739488058a8c6cb1a77b3856f55378e9518d0da99452d51c553a'

/** An image's launch digest, from its description in sdk/evidence with node:crypto alone. */
function launchDigest(text: string): string {
  const pages = Buffer.concat([Buffer.from(text), Buffer.alloc(-text.length & 4095)])
  const sha384 = (bytes: Uint8Array) => createHash('sha384').update(bytes).digest()
  const place = (type: string, address: number) => {
    const gpa = Buffer.alloc(8)
    gpa.writeBigUInt64LE(BigInt(address))
    return Buffer.concat([Buffer.from(`7000${type}0000000000`, 'hex'), gpa])
  }
  let digest: Buffer = Buffer.alloc(48)
  for (let at = 0; at < pages.length; at += 4096) {
    const contents = sha384(pages.subarray(at, at + 4096))
    digest = sha384(Buffer.concat([digest, contents, place('01', 2 ** 32 - pages.length + at)]))
  }
  return sha384(Buffer.concat([digest, Buffer.from(VCPU, 'hex'), place('02', 0xffff_ffff_f000)])).toString(
    'hex',
  )
}

describe('launching workers', () => {
  let machine: TestPlatform

  beforeAll(async () => {
    machine = await TestPlatform.start()
  })
  afterAll(() => machine.close())

  it('[C-29] measures exactly the bytes that run; a file replaced afterwards changes nothing', async () => {
    const first = await machine.worker('w-measured')
    expect(first.measurement).toBe(sha256(waitingImage))
    writeFileSync(first.imagePath, 'process.exit(3) // replaced')
    const worker = machine.workerClient(first.shown.bundle.platform)
    const report = parseLaunchReport(
      (await worker.getWorkerReport({ reportData: new Uint8Array(32) })).report,
    )
    expect(hex(report.measurement)).toBe(sha256(waitingImage))
    expect(hex(report.launchDigest)).toBe(launchDigest(waitingImage))
    expect(lives(first.pid)).toBe(true)
  })

  it('[C-29 control] a really changed file, launched again, is another measurement and runs as changed', async () => {
    const changed = waitingImage.replace("'first'", "'changed'")
    const { shown, measurement } = await machine.worker('w-changed', changed)
    expect(shown.says).toBe('changed')
    expect(measurement).toBe(sha256(changed))
    expect(measurement).not.toBe(sha256(waitingImage))
    const { report } = await machine
      .workerClient(shown.bundle.platform)
      .getWorkerReport({ reportData: new Uint8Array() })
    expect(hex(parseLaunchReport(report).launchDigest)).toBe(launchDigest(changed))
    expect(launchDigest(changed)).not.toBe(launchDigest(waitingImage))
  })

  it('gives the child its secret on the pipe and nothing else: no arguments, no environment, no folder', async () => {
    const { shown } = await machine.worker('w-bundle')
    expect(shown.bundle.vm).toBe('w-bundle')
    expect(shown.bundle.host).toMatchObject({ note: 'from the host' })
    expect(shown.bundle.platform.address).toBe(machine.platform.workerPortAddress)
    expect(shown.env).toEqual({})
    expect(shown.cwd).toBe('/')
    expect(shown.argv).toEqual(['-'])
  })

  it('[C-29] only the running launch gets its report, with the data of its choice', async () => {
    const { shown, pid } = await machine.worker('w-report')
    const worker = machine.workerClient(shown.bundle.platform)
    const reportData = new Uint8Array(32).fill(5)
    const { report } = await worker.getWorkerReport({ reportData })
    expect(equalBytes(parseLaunchReport(report).reportData, reportData)).toBe(true)
    expect(parseLaunchReport(report)).toMatchObject({
      kind: 'worker',
      vm: 'w-report',
      emulated: true,
      debug: false,
    })
    expect((await refusal(worker.getWorkerReport({ reportData: new Uint8Array(31) }))).code).toBe(
      'INVALID_ARGUMENT',
    )
    // The operator's identities do not open this port.
    const operator = machine.workerClient({
      ...machine.operator.identity('w', 'worker'),
      caPem: shown.bundle.platform.caPem,
    })
    expect((await refusal(operator.getPlatformState({}))).code).toMatch(/^UNA/)
    process.kill(pid, 'SIGKILL')
    await until(() => (lives(pid) ? undefined : true))
    expect((await refusal(worker.getPlatformState({}))).code).toBe('UNAUTHENTICATED')
  })

  it('tells the host of a worker that ended, also when nobody watched at that moment', async () => {
    const first = await machine.worker('w-exit-1')
    process.kill(first.pid, 'SIGKILL')
    await until(() => (lives(first.pid) ? undefined : true))
    const reader = await new EventReader(machine.host).ready()
    await until(() =>
      reader.events.find((event) => event.case === 'workerExit' && event.value.vm === 'w-exit-1'),
    )
    const second = await machine.worker('w-exit-2', `${waitingImage}\nsetTimeout(() => process.exit(9), 50)`)
    const exit = await until(() =>
      reader.events.find((event) => event.case === 'workerExit' && event.value.vm === 'w-exit-2'),
    )
    expect(exit.value).toEqual({ vm: 'w-exit-2', reason: 'exit code 9' })
    expect(lives(second.pid)).toBe(false)
    // The name is free again.
    expect((await machine.worker('w-exit-2')).shown.bundle.vm).toBe('w-exit-2')
    reader.stop()
  })

  it('gives the event stream to the newest caller', async () => {
    const first = await new EventReader(machine.host).ready()
    const second = await new EventReader(machine.host).ready()
    expect(await first.done).toBe('ABORTED')
    second.stop()
    expect(await second.done).toBe('CANCELLED')
  })

  it('refuses unreadable images, bad configuration and names in use, and starts nothing', async () => {
    const { imagePath } = await machine.worker('w-taken')
    const launch = (vm: string, path: string, json: string) =>
      refusal(
        machine.host.launchWorker({ vm, imagePath: path, hostConfiguration: new TextEncoder().encode(json) }),
      )
    expect((await launch('w-new', join(machine.folder, 'none.cjs'), '{}')).code).toBe('INVALID_ARGUMENT')
    expect((await launch('w-new', machine.folder, '{}')).code).toBe('INVALID_ARGUMENT')
    const filled = join(machine.folder, 'filled.cjs')
    for (const image of ['', `${waitingImage}\0`]) {
      writeFileSync(filled, image)
      expect((await launch('w-new', filled, '{}')).code).toBe('INVALID_ARGUMENT')
    }
    expect((await launch('w-new', imagePath, '{"keyPem": "secret')).code).toBe('INVALID_ARGUMENT')
    expect((await launch('w-new', imagePath, '[]')).code).toBe('INVALID_ARGUMENT')
    expect((await launch('w-taken', imagePath, '{}')).code).toBe('ALREADY_EXISTS')
    expect((await launch('platform', imagePath, '{}')).code).toBe('INVALID_ARGUMENT')
    expect((await launch('a=b,CN=c', imagePath, '{}')).code).toBe('INVALID_ARGUMENT')
    expect((await refusal(machine.host.terminateVm({ vm: 'w-new' }))).code).toBe('UNKNOWN_VM')
  })

  it('kills a worker that is terminated', async () => {
    const { pid } = await machine.worker('w-killed')
    await machine.host.terminateVm({ vm: 'w-killed' })
    expect(lives(pid)).toBe(false)
  })
})

describe('the hypervisor as the platform starts it', () => {
  it('[P-09] runs the bytes that PCR 4 measured, with its configuration on the pipe, and ends with the platform', async () => {
    const folder = newFolder()
    const report = join(folder, 'hypervisor.json')
    const machine = await TestPlatform.start({ bootHypervisor: { configuration: { report } } }, folder)
    const shown = await readShown(report)
    expect(shown.env).toEqual({ NODE_PATH: join(process.cwd(), 'node_modules') })
    expect(machine.platform.hypervisorDigest).toBe(
      sha256(readFileSync(join(folder, 'hypervisor.cjs'), 'utf8')),
    )
    const pid = machine.platform.hypervisorPid ?? 0
    const worker = await machine.worker('w')
    expect([lives(pid), lives(worker.pid)]).toEqual([true, true])
    await machine.close()
    expect([lives(pid), lives(worker.pid)]).toEqual([false, false])
  })

  it('tells when the hypervisor ends by itself, and only then', async () => {
    const folder = newFolder()
    const report = join(folder, 'hypervisor.json')
    const machine = await TestPlatform.start({ bootHypervisor: { configuration: { report } } }, folder)
    await readShown(report)
    let reason = ''
    void machine.platform.hypervisorExited.then((told) => {
      reason = told
    })
    process.kill(machine.platform.hypervisorPid ?? 0, 'SIGKILL')
    expect(await until(() => (reason === '' ? undefined : reason))).toBe('SIGKILL')
    await machine.close()
  })

  it('children end when the platform is killed', async () => {
    const folder = newFolder()
    const script = join(process.cwd(), 'test/integration/platform/killed-platform.ts')
    const options = ['--conditions', 'palimpsest-source', '--import', 'tsx']
    const child = spawn(process.execPath, [...options, script, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let printed = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      printed += text
    })
    const { pids } = await until(() =>
      printed.includes('\n') ? (JSON.parse(printed) as { pids: number[] }) : undefined,
    )
    expect(pids.map(lives)).toEqual([true, true])
    child.kill('SIGKILL')
    await until(() => (pids.some(lives) ? undefined : true))
  })
})

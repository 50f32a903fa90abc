// The three ports over real sockets: who may call, what is refused, and the path of a store to its second frame.

import { createHash, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { equalBytes, hex, IdentityKey, verifyChain } from '../../../sdk/crypto/index.ts'
import {
  makeShareStatement,
  parseEventLog,
  parseLaunchReport,
  platformKeys,
  readBootProfile,
} from '../../../sdk/evidence/index.ts'
import { makeCredential, selectPcrs, TPMS_ATTEST, unmarshal, verifyQuote } from '../../../sdk/tpm2/index.ts'
import { createClient, HostPortService, required } from '../../../sdk/rpc/index.ts'
import { EventReader, MIB, PAGE, refusal, type TestGuest, TestPlatform, until } from './support.ts'

let machine: TestPlatform
/** Frames and names are never used twice in this file: all tests share one machine. */
let frame = 100
let serial = 0
let name = ''

beforeAll(async () => {
  machine = await TestPlatform.start({ memoryBytes: 256 * MIB, stallTimeoutMs: 20_000 })
})
afterAll(() => machine.close())
beforeEach(() => {
  frame += 100
  name = `vm-${++serial}`
})

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)
const bytes = (value: string) => new TextEncoder().encode(value)
const gpa = (page: number, offset = 0) => BigInt(page * PAGE + offset)

describe('who may call', () => {
  it('[C-31] the host port is for the hypervisor and its operator only', async () => {
    for (const unit of ['vm', 'worker', 'platform']) {
      expect((await refusal(machine.hostClient(unit).getEndorsement({}))).code).toBe('PERMISSION_DENIED')
    }
    expect((await refusal(machine.hostClient('vm').watchEvents({}).next())).code).toBe('PERMISSION_DENIED')
  })

  it('[C-31 control] the hypervisor and its operator may call', async () => {
    for (const unit of ['hypervisor', 'operator']) {
      expect((await machine.hostClient(unit).getEndorsement({})).frames).toBe(65536n)
    }
  })

  it('[C-31] the guest port is for the key of a running VM only, whoever certified it', async () => {
    const guest = await machine.guest(name)
    expect(
      parseLaunchReport((await guest.port.getLaunchReport({ reportData: new Uint8Array(0) })).report).vm,
    ).toBe(name)
    const stranger = machine.guestClient(IdentityKey.generate())
    expect((await refusal(stranger.load({ gpa: 0n, length: 1 }))).code).toBe('PERMISSION_DENIED')
    await machine.host.terminateVm({ vm: name })
    expect((await refusal(guest.port.load({ gpa: 0n, length: 1 }))).code).toBe('PERMISSION_DENIED')
  })

  it('one identity key serves one VM', async () => {
    const { identity } = await machine.guest(name)
    const again = { vm: `${name}-twin`, ownerPublicKey: identity.publicKey.spki, memoryBytes: 4096n }
    expect(await refusal(machine.host.launchGuest(again))).toMatchObject({
      code: 'ALREADY_EXISTS',
      metadata: { vm: name },
    })
    expect((await refusal(machine.host.launchGuest({ ...again, vm: name }))).code).toBe('ALREADY_EXISTS')
    await machine.host.terminateVm({ vm: name })
    await machine.host.launchGuest(again)
  })
})

describe('what the platform says about itself', () => {
  it('[C-09] [P-09] quotes a boot whose log replays, and reports name the same firmware', async () => {
    const { endorsement } = await machine.host.getEndorsement({})
    const { firmware, image } = await machine.host.getFirmware({ includeImage: true })
    if (endorsement === undefined || firmware === undefined) throw new Error('expected both')
    expect(hex(firmware.imageDigest)).toBe(createHash('sha256').update(image).digest('hex'))
    const leaf = endorsement.reportKeyCertificates[0] ?? new Uint8Array(0)
    expect(() => verifyChain({ leaf, roots: [machine.trustAnchor] })).not.toThrow()
    const qualifyingData = randomBytes(32)
    const { quote } = await machine.host.quote({
      selection: { hash: 0x000b, pcrs: [0, 4, 7] },
      qualifyingData,
    })
    if (quote === undefined) throw new Error('expected a quote')
    const { akPublic, ekName } = platformKeys(endorsement)
    const expectedSelection = [selectPcrs(0x000b, [0, 4, 7])]
    expect(() => verifyQuote({ ...quote, akPublic, qualifyingData, expectedSelection })).not.toThrow()
    const { log } = await machine.host.readEventLog({})
    const profile = readBootProfile(parseEventLog(log))
    expect(equalBytes(profile.firmwareImageDigest, firmware.imageDigest)).toBe(true)
    expect(hex(profile.hypervisorDigest)).toBe(machine.platform.hypervisorDigest)
    const guest = await machine.guest(name)
    const { report } = await guest.port.getLaunchReport({ reportData: new Uint8Array(32).fill(1) })
    const said = parseLaunchReport(report)
    expect(equalBytes(said.platformId, ekName)).toBe(true)
    expect(equalBytes(said.firmwareImageDigest, firmware.imageDigest)).toBe(true)
    expect(equalBytes(said.ownerIdKeyDigest, guest.identity.publicKey.digest)).toBe(true)
    expect(said.svn).toBe(1)
    // A guest's image is not measured.
    expect([said.measurement, said.launchDigest].map(hex)).toEqual(['00'.repeat(32), '00'.repeat(48)])
    expect(unmarshal(TPMS_ATTEST, quote.attest).clockInfo.resetCount).toBe(said.resetCount)
  })

  it('[P-09] [A-23] an extended PCR differs, is logged and counted, and cannot be set back', async () => {
    const selection = { hash: 0x000b, pcrs: [0, 10] }
    const before = await machine.host.readPcrs({ selection })
    const event = bytes('an event')
    const { updateCounter } = await machine.host.extendPcr({ pcr: 10, event, eventType: 5 })
    const after = await machine.host.readPcrs({ selection })
    expect(after.updateCounter).toBe(updateCounter)
    expect(updateCounter).toBeGreaterThan(before.updateCounter)
    expect(after.values[0]).toEqual(before.values[0])
    expect(after.values[1]).not.toEqual(before.values[1])
    const { log } = await machine.host.readEventLog({})
    expect(parseEventLog(log).events.at(-1)).toMatchObject({ pcrIndex: 10, eventType: 5, data: event })
    expect((await refusal(machine.host.extendPcr({ pcr: 24, event, eventType: 5 }))).code).toBe(
      'INVALID_ARGUMENT',
    )
  })

  it('[P-09 control] [A-23 control] PCRs that nobody extends stay as they are', async () => {
    const selection = { hash: 0x000b, pcrs: [0, 4, 7] }
    const before = await machine.host.readPcrs({ selection })
    await machine.guest(name)
    expect(await machine.host.readPcrs({ selection })).toEqual(before)
  })

  it('refuses selections and qualifying data that no TPM takes', async () => {
    const quote = (hash: number, pcrs: number[], length = 32) =>
      refusal(machine.host.quote({ selection: { hash, pcrs }, qualifyingData: new Uint8Array(length) }))
    expect((await quote(0x0004, [0])).code).toBe('INVALID_ARGUMENT')
    expect((await quote(0x000b, [24])).code).toBe('INVALID_ARGUMENT')
    expect((await quote(0x000b, [4, 0])).code).toBe('INVALID_ARGUMENT')
    expect((await quote(0x000b, [0], 35)).code).toBe('INVALID_ARGUMENT')
    expect((await quote(0x000c, [0], 34)).code).toBe('none')
  })

  it('opens a credential that was made for its keys, and no other', async () => {
    const { endorsement } = await machine.host.getEndorsement({})
    if (endorsement === undefined) throw new Error('expected an endorsement')
    const { ekPublic, akName } = platformKeys(endorsement)
    const secret = randomBytes(32)
    const made = makeCredential({ ekPublic, objectName: akName, secret })
    const { certInfo } = await machine.host.activateCredential(made)
    expect(equalBytes(certInfo, secret)).toBe(true)
    const other = makeCredential({ ekPublic, objectName: Uint8Array.from(akName).fill(1, 5), secret })
    expect((await refusal(machine.host.activateCredential(other))).code).toBe('REFUSED_ENROLMENT')
  })
})

describe('sharing frames', () => {
  let owner: TestGuest
  let peer: TestGuest

  beforeEach(async () => {
    owner = await machine.guest(`${name}-o`, { mode: 'location' })
    peer = await machine.guest(`${name}-p`, { mode: 'location' })
    await machine.give(owner.name, 4, frame, 2)
  })

  const pairs = [{ first: 4n, second: 7n, count: 2n }]
  const consent = (change: Partial<Parameters<typeof makeShareStatement>[0]> = {}) => {
    const peerDigest = peer.identity.publicKey.digest
    return makeShareStatement({
      identity: owner.identity,
      peer: peerDigest,
      pairs,
      notAfter: 1n << 50n,
      ...change,
    })
  }
  const share = (statement: Uint8Array, asked = pairs) =>
    refusal(machine.host.shareFrames({ owner: owner.name, peer: peer.name, pairs: asked, statement }))

  it.each<[string, () => Uint8Array]>([
    ['no statement', () => new Uint8Array(0)],
    ["the peer's own statement", () => consent({ identity: peer.identity })],
    ['a statement for another peer', () => consent({ peer: IdentityKey.generate().publicKey.digest })],
    ['a statement that has ended', () => consent({ notAfter: 0n })],
    ['a statement for fewer pages', () => consent({ pairs: [{ first: 4n, second: 7n, count: 1n }] })],
    [
      'a statement for other pages of the peer',
      () => consent({ pairs: [{ first: 4n, second: 8n, count: 2n }] }),
    ],
    ['a changed statement', () => consent().map((byte, at) => (at === 100 ? byte ^ 1 : byte))],
  ])('[A-31] refuses %s', async (_title, statement) => {
    expect((await share(statement())).code).toBe('REFUSED_PEER')
    const { rows } = await machine.host.describeFrames({ frames: [BigInt(frame)], includeTotals: false })
    expect(rows[0]).toMatchObject({ state: 'private', sharers: [{ vm: owner.name, index: 4n }] })
  })

  it("[A-31 control] shares with the owner's statement, of all pages or of some", async () => {
    expect((await share(consent(), [{ first: 5n, second: 8n, count: 1n }])).code).toBe('none')
    expect((await share(consent(), [{ first: 4n, second: 7n, count: 1n }])).code).toBe('none')
    const { rows, totals } = await machine.host.describeFrames({
      frames: [BigInt(frame)],
      includeTotals: true,
    })
    expect(rows[0]).toMatchObject({
      state: 'shared-ro',
      sharers: [
        { vm: owner.name, index: 4n },
        { vm: peer.name, index: 7n },
      ],
    })
    expect(totals?.shared).toBeGreaterThanOrEqual(2n)
    expect((await share(consent(), [{ first: 4n, second: 7n, count: 1n }])).code).toBe('OWNERSHIP_FAULT')
  })
})

describe('DRAM', () => {
  it('[C-07 control] is the host to read and write: the write log tells, and totals say what it costs', async () => {
    const totals = async () =>
      required((await machine.host.describeFrames({ frames: [], includeTotals: true })).totals, 'totals')
    const frames = [BigInt(frame), BigInt(frame + 1)]
    const ciphertext = new Uint8Array(randomBytes(2 * PAGE))
    const before = await totals()
    await machine.host.writeFrames({ frames, ciphertext })
    expect((await machine.host.readFrames({ frames })).ciphertext).toEqual(ciphertext)
    const { entries } = await machine.host.readWriteLog({ since: 0n, frame: frames[1], limit: 0 })
    expect(entries).toMatchObject([{ writer: 'host', cause: 'host', generation: 0n }])
    expect(await totals()).toEqual({ ...before, written: before.written + 2n })
    await machine.host.reserveFrames({ registration: name, vm: (await machine.guest(name)).name, frames })
    expect((await totals()).tableBytes).toBeGreaterThan(0n)
  })

  it('no VM is called as the write log calls the host or the platform', async () => {
    for (const vm of ['host', 'platform']) {
      const launch = { vm, ownerPublicKey: IdentityKey.generate().publicKey.spki, memoryBytes: 4096n }
      expect((await refusal(machine.host.launchGuest(launch))).code).toBe('INVALID_ARGUMENT')
    }
  })
})

describe("a store's path", () => {
  it('[C-11] [C-12] [C-19] faults without data, waits for the copy, lands once in the second frame', async () => {
    const group = randomBytes(32)
    const source = await machine.guest(`${name}-s`, { mode: 'both', group })
    const destination = await machine.guest(`${name}-d`, { mode: 'both', group })
    await machine.give(source.name, 4, frame)
    await source.port.store({ gpa: gpa(4), data: bytes('counter:\0\0\0\0\0\0\0\0 of the source') })
    const firstFrame = await machine.share(source, 4, destination, 9)
    expect(text((await destination.port.load({ gpa: gpa(9), length: 8 })).data)).toBe('counter:')

    const registration = `r-${name}`
    const secondFrame = BigInt(frame + 1)
    await machine.host.reserveFrames({ registration, vm: destination.name, frames: [secondFrame] })
    const { shown } = await machine.worker(`w-${name}`)
    const worker = machine.workerClient(shown.bundle.platform)
    const before = (await machine.host.readFrames({ frames: [firstFrame] })).ciphertext

    const reader = await new EventReader(machine.host).ready()
    const add = destination.port.fetchAdd({ gpa: gpa(9, 8), addend: 1n })
    const event = await until(() => reader.events.find((one) => one.case === 'fault'))
    expect(event.value).toEqual({
      id: (event.value as { id: bigint }).id,
      vm: destination.name,
      index: 9n,
      access: 'write',
      reason: 'write-protected',
    })
    const copies = [
      {
        firstFrame,
        first: { vm: source.name, index: 4n },
        secondFrame,
        second: { vm: destination.name, index: 9n },
      },
    ]
    const begun = await worker.beginCopies({ registration, copies })
    expect(begun.ciphertext).toEqual(before)
    expect(begun.state?.resetCount).toBe(1)
    expect([begun.firstModes, begun.secondModes]).toEqual([['both'], ['both']])
    // What a worker does in between is not this test's: it stores a page that the destination's key does not open.
    const ciphertext = randomBytes(PAGE)
    const { generations } = await worker.commitCopies({
      registration,
      copies,
      generations: begun.generations,
      ciphertext,
    })
    expect(generations).toEqual([2n])
    const fault = (event.value as { id: bigint }).id
    const mappings = [{ index: 9n, frame: secondFrame, writable: true }]
    await machine.host.setMappings({ vm: destination.name, mappings, retry: [fault] })
    const sum = (await add).value
    expect((await destination.port.fetchAdd({ gpa: gpa(9, 8), addend: 1n })).value).toBe(
      BigInt.asUintN(64, sum + 1n),
    )
    expect((await machine.host.readFrames({ frames: [firstFrame] })).ciphertext).toEqual(before)
    const { entries } = await machine.host.readWriteLog({ since: 0n, frame: secondFrame, limit: 0 })
    expect(entries.map(({ writer, cause, generation }) => [writer, cause, generation])).toEqual([
      [`w-${name}`, 'copy', 2n],
      [destination.name, 'store', 3n],
      [destination.name, 'store', 4n],
    ])
    // Once is enough: the same copy again is refused.
    expect(
      (
        await refusal(
          worker.commitCopies({ registration, copies, generations: begun.generations, ciphertext }),
        )
      ).code,
    ).toBe('OWNERSHIP_FAULT')
    reader.stop()
  })

  it('a worker is told how guests key their frames', async () => {
    const guest = await machine.guest(`${name}-k`, { mode: 'location' })
    const empty = await machine.guest(`${name}-e`)
    const { shown } = await machine.worker(`w-${name}`)
    const worker = machine.workerClient(shown.bundle.platform)
    expect((await worker.describeKeySlots({ vms: [guest.name, empty.name] })).slots).toEqual([
      { vm: guest.name, mode: 'location' },
      { vm: empty.name },
    ])
    expect((await refusal(worker.describeKeySlots({ vms: ['nobody'] }))).code).toBe('UNKNOWN_VM')
    const many = Array.from({ length: 17 }, () => guest.name)
    expect((await refusal(worker.describeKeySlots({ vms: many }))).code).toBe('INVALID_ARGUMENT')
  })

  it('[C-21] [A-01] the host sees no plaintext in frames, events or errors', async () => {
    const secret = 'xyzzy-plaintext-marker'
    const guest = await machine.guest(name, { mode: 'location' })
    await machine.give(name, 0, frame)
    await guest.port.store({ gpa: gpa(0), data: bytes(secret) })
    const reader = await new EventReader(machine.host).ready()
    const waiting = refusal(guest.port.store({ gpa: gpa(1), data: bytes(secret) }))
    const fault = await until(() => reader.events.find((one) => one.case === 'fault'))
    await machine.host.resolveFaults({
      retry: [],
      fail: [{ id: fault.value.id, code: 'GRANT_EXPIRED', message: 'later' }],
    })
    const error = await waiting
    expect(error.code).toBe('GRANT_EXPIRED')
    const { ciphertext } = await machine.host.readFrames({ frames: [BigInt(frame), BigInt(frame + 1)] })
    const seen = [
      Buffer.from(ciphertext).toString('latin1'),
      JSON.stringify(reader.events, (_key, value: unknown) =>
        typeof value === 'bigint' ? String(value) : value,
      ),
      JSON.stringify(error),
    ].join('\n')
    expect(seen).not.toContain(secret)
    reader.stop()
    // Control: the guest reads it, so it was there to be seen.
    expect(text((await guest.port.load({ gpa: gpa(0), length: secret.length })).data)).toBe(secret)
  })

  it('a cancelled guest call takes its fault away', async () => {
    const guest = await machine.guest(name, { mode: 'location' })
    const reader = await new EventReader(machine.host).ready()
    const cancel = new AbortController()
    const load = refusal(guest.port.load({ gpa: 0n, length: 1 }, { signal: cancel.signal }))
    await until(() => reader.events.find((one) => one.case === 'fault'))
    cancel.abort()
    expect((await load).code).toBe('CANCELLED')
    reader.stop()
    await reader.done
    // Nobody told the host, but a new watcher is not told of it either.
    const next = await new EventReader(machine.host).ready()
    await new Promise((resume) => setTimeout(resume, 50))
    expect(next.events.filter((one) => one.case === 'fault')).toEqual([])
    next.stop()
  })

  it('[A-03] a remap is refused to the guest, and mended by the honest mapping', async () => {
    const guest = await machine.guest(name, { mode: 'location' })
    await machine.give(name, 0, frame, 2)
    await guest.port.store({ gpa: gpa(0), data: bytes('zero') })
    const remap = (to: number) =>
      machine.host.setMappings({
        vm: name,
        mappings: [{ index: 1n, frame: BigInt(to), writable: true }],
        retry: [],
      })
    await remap(frame)
    expect(await refusal(guest.port.load({ gpa: gpa(1), length: 4 }))).toMatchObject({
      code: 'OWNERSHIP_FAULT',
      metadata: { found: `a mapping to frame ${frame}` },
    })
    await remap(frame + 1)
    expect((await guest.port.load({ gpa: gpa(1), length: 4 })).data).toEqual(new Uint8Array(4))
  })

  it('keys are installed once, and wrong ones not at all', async () => {
    const guest = await machine.guest(name)
    const none = new Uint8Array(0)
    const key = () => randomBytes(32)
    await machine.give(name, 0, frame)
    expect((await refusal(guest.port.load({ gpa: 0n, length: 1 }))).code).toBe('STATE')
    const wrong = [
      { rootKey: new Uint8Array(31), mode: 'location' as const, groupKey: none },
      { rootKey: key(), mode: 'both' as const, groupKey: none },
      { rootKey: key(), mode: 'location' as const, groupKey: new Uint8Array(5) },
    ]
    for (const keys of wrong)
      expect((await refusal(guest.port.installKeys(keys))).code).toBe('INVALID_ARGUMENT')
    await guest.port.installKeys({ rootKey: key(), mode: 'location', groupKey: none })
    const again = { rootKey: key(), mode: 'location' as const, groupKey: none }
    expect((await refusal(guest.port.installKeys(again))).code).toBe('STATE')
    expect((await guest.port.load({ gpa: 0n, length: 1 })).data).toEqual(new Uint8Array(1))
  })

  it('bad input changes nothing', async () => {
    await machine.guest(name, { mode: 'location' })
    const { host } = machine
    const before = await host.describeFrames({ frames: [BigInt(frame)], includeTotals: true })
    const runs = [{ index: 0n, frame: BigInt(frame), count: 1n }]
    const tries: [Promise<unknown>, string][] = [
      [host.assignFrames({ vm: 'nobody', runs }), 'UNKNOWN_VM'],
      [
        host.assignFrames({ vm: name, runs: [...runs, { index: 1n, frame: 1n << 63n, count: 1n }] }),
        'INVALID_ARGUMENT',
      ],
      [
        host.assignFrames({ vm: name, runs: [...runs, { index: 1n, frame: 65536n, count: 1n }] }),
        'INVALID_ARGUMENT',
      ],
      [
        host.assignFrames({ vm: name, runs: [{ ...runs[0], index: 0n, frame: 0n, count: 0n }] }),
        'INVALID_ARGUMENT',
      ],
      [
        host.assignFrames({ vm: name, runs: [...runs, { index: 1024n, frame: 3n, count: 1n }] }),
        'OUT_OF_RANGE',
      ],
      [
        host.reserveFrames({ registration: 'r', vm: name, frames: [BigInt(frame), BigInt(frame)] }),
        'OWNERSHIP_FAULT',
      ],
      [
        host.setMappings({ vm: name, mappings: [{ index: 0n, frame: 65536n, writable: true }], retry: [] }),
        'INVALID_ARGUMENT',
      ],
      [
        host.setMappings({ vm: name, mappings: [{ index: 1024n, writable: true }], retry: [] }),
        'OUT_OF_RANGE',
      ],
      [host.reserveFrames({ registration: '', vm: name, frames: [BigInt(frame)] }), 'INVALID_ARGUMENT'],
      [host.readFrames({ frames: [1n << 40n] }), 'INVALID_ARGUMENT'],
      [
        host.writeFrames({ frames: [BigInt(frame), 65536n], ciphertext: new Uint8Array(2 * PAGE) }),
        'INVALID_ARGUMENT',
      ],
      [
        host.writeFrames({ frames: [BigInt(frame)], ciphertext: new Uint8Array(PAGE + 1) }),
        'INVALID_ARGUMENT',
      ],
      [
        host.resolveFaults({ retry: [], fail: [{ id: 1n, code: 'NO_SUCH_CODE', message: '' }] }),
        'INVALID_ARGUMENT',
      ],
    ]
    for (const [attempt, code] of tries) expect((await refusal(attempt)).code).toBe(code)
    expect(await host.describeFrames({ frames: [BigInt(frame)], includeTotals: true })).toEqual(before)
    await host.resolveFaults({ retry: [1n << 63n], fail: [] })
  })
})

describe('a second boot', () => {
  it('keeps keys and measurements, and counts', async () => {
    const first = await TestPlatform.start()
    const folder = first.folder
    const one = { ...(await first.host.getEndorsement({})), log: (await first.host.readEventLog({})).log }
    await first.platform.close()
    const second = await TestPlatform.start({ listen: { host: ['127.0.0.1:0'] } }, folder)
    const two = { ...(await second.host.getEndorsement({})), log: (await second.host.readEventLog({})).log }
    expect(two.endorsement).toEqual(one.endorsement)
    expect(two.log).toEqual(one.log)
    expect(two.resetCount).toBe(one.resetCount + 1)
    // The further address serves the same port.
    const address = second.platform.addresses.host[1] ?? ''
    const tcp = createClient(HostPortService, {
      address,
      tls: second.operator.identity('operator', 'operator'),
    })
    expect((await tcp.getEndorsement({})).resetCount).toBe(two.resetCount)
    tcp.close()
    await second.close()
    await first.close()
  })
})

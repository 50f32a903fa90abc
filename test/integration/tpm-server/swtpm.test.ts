// The swtpm protocol as a client on a socket sees it: the data port with and without prefix, and every request of the
// control channel. test/peers/tpm-server.test.ts compares the same with swtpm itself.

import { afterEach, describe, expect, it } from 'vitest'
import { afterwards, cleanUp, client, served } from './setup.ts'
import { getRandom, random, response, startupClear, ToyTpm } from './toy-tpm.ts'
import { serveTpm } from '../../../emulator/tpm-server/index.ts'
import { bytes } from './client.ts'

afterEach(cleanUp)

const hex = (part: Uint8Array): string => Buffer.from(part).toString('hex')
const prefixed = (part: Uint8Array, locality = 0): Buffer =>
  bytes(8, Uint8Array.of(locality), part.length, part)
const framed = (part: Uint8Array): string => bytes(part.length, part, 0).toString('hex')

describe('the data port', () => {
  it('answers 0x101 before INIT, with the prefix and without', async () => {
    const { data } = await served('swtpm')
    const raw = await data()
    expect(await raw.ask(10, getRandom)).toBe(hex(response(0x101)))
    expect(await raw.ask(18, prefixed(getRandom))).toBe(framed(response(0x101)))
  })

  it('answers raw and prefixed commands on one connection, one segment each', async () => {
    const { data } = await served('swtpm', { powerOn: true, firstCommand: startupClear })
    const raw = await data()
    expect(await raw.ask(20, getRandom)).toBe(hex(random(8)))
    expect(await raw.ask(28, prefixed(getRandom))).toBe(framed(random(8)))
    expect(await raw.ask(20, getRandom)).toBe(hex(random(8)))
    expect(raw.pieces).toEqual([20, 28, 20])
  })

  it('puts a command together from its pieces, and answers several at once in order', async () => {
    const { data } = await served('swtpm', { powerOn: true, firstCommand: startupClear })
    const raw = await data()
    for (const byte of getRandom) {
      raw.send(Uint8Array.of(byte))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await raw.read(20)).toBe(hex(random(8)))
    raw.send(getRandom, startupClear, prefixed(getRandom), getRandom.subarray(0, 3))
    expect(await raw.read(58)).toBe(hex(random(8)) + hex(response(0x100)) + framed(random(8)))
    raw.send(getRandom.subarray(3))
    expect(await raw.read(20)).toBe(hex(random(8)))
  })

  it('lets the TPM judge a command with a wrong size or tag, and goes on', async () => {
    const { data } = await served('swtpm', { powerOn: true, firstCommand: startupClear })
    const raw = await data()
    expect(await raw.ask(10, '8001000000050000017b0008')).toBe(hex(response(0x142)))
    expect(await raw.ask(10, '00c10000000a000000f1')).toBe(hex(response(0x01e)))
    expect(await raw.ask(20, getRandom)).toBe(hex(random(8)))
    // Too short to wait for the rest: the client has ended its side.
    const short = await data()
    short.socket.end(bytes('8001000000ff0000017b0008'))
    expect(await short.untilEnd()).toBe(hex(response(0x142)))
    const huge = await data()
    huge.send('8001ffffffff0000017b0008')
    expect(await huge.untilEnd()).toBe(hex(response(0x142)))
  })

  it('answers a client that ends its side with its last command', async () => {
    const { data } = await served('swtpm', { powerOn: true, firstCommand: startupClear })
    const raw = await data()
    raw.socket.end(bytes(getRandom, getRandom))
    expect(await raw.untilEnd()).toBe(hex(random(8)) + hex(random(8)))
  })

  it('closes after each response with the disconnect rule', async () => {
    const { data } = await served('swtpm', { powerOn: true, rules: { disconnect: true } })
    const raw = await data()
    raw.send(getRandom, getRandom)
    expect(await raw.untilEnd()).toBe(hex(response(0x100)))
  })

  it('takes the locality from the prefix and from the vendor command only where that is allowed', async () => {
    const setLocality = bytes('80010000000b20001000', '03')
    const { data, tpm } = await served('swtpm', { powerOn: true })
    const raw = await data()
    expect(await raw.ask(10, setLocality)).toBe(hex(response(0x101)))
    await raw.ask(18, prefixed(getRandom, 2))
    await raw.ask(10, getRandom)
    expect(tpm.localities).toEqual([2, 2])

    const allowing = await served('swtpm', {
      powerOn: true,
      rules: { allowSetLocality: true, rejectLocality4: true },
    })
    const other = await allowing.data()
    expect(await other.ask(10, setLocality)).toBe(hex(response(0)))
    expect(await other.ask(10, '80010000000b20001000', '04')).toBe(hex(response(0x907)))
    expect(await other.ask(10, '80010000000b20001000', '05')).toBe(hex(response(0x907)))
    expect(await other.ask(10, '80010000000a20001000')).toBe(hex(response(0x09a)))
    expect(await other.ask(18, prefixed(getRandom, 4))).toBe(framed(response(0x907)))
    await other.ask(10, getRandom)
    expect(allowing.tpm.localities).toEqual([3])
  })

  it('ends with the last data client when told to', async () => {
    const { data, control, server } = await served('swtpm', { powerOn: true, terminate: true })
    const asking = await control()
    expect(await asking.ask(8, 1)).toBe('000000000001efff')
    asking.end()
    const [first, second] = [await data(), await data()]
    first.end()
    expect(await second.ask(10, getRandom)).toBe(hex(response(0x100)))
    second.end()
    expect(await server.closed).toBe('terminate')
  })
})

describe('the control channel', () => {
  it('runs the TPM: INIT, STOP, SHUTDOWN, and what needs it running', async () => {
    const { control, tpm, server } = await served('swtpm')
    const channel = await control()
    for (const code of [4, 6, 8, 9, 0xa]) expect(await channel.ask(4, code)).toBe('0000000a')
    expect(await channel.ask(4, 7, 0)).toBe('0000000a')
    expect(await channel.ask(4, 0xb, '03')).toBe('0000000a')
    expect(await channel.ask(4, 0xc, 0, 1, 0)).toBe('0000000a')
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(tpm.calls).toEqual(['powerOn'])
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(tpm.calls).toEqual(['powerOn', 'powerOff', 'powerOn'])
    expect(await channel.ask(4, 0xd, 0, 1, 4, 'aabbccdd')).toBe('0000000a')
    expect(await channel.ask(4, 0xe)).toBe('00000000')
    expect(tpm.powered).toBe(false)
    expect(await channel.ask(4, 3)).toBe('00000000')
    expect(await server.closed).toBe('shutdown')
    expect(await channel.untilEnd()).toBe('')
  })

  it('sets the locality of the whole TPM, padded or not, and refuses one that does not exist', async () => {
    const { control, data, tpm } = await served('swtpm', { powerOn: true })
    const [channel, raw] = [await control(), await data()]
    expect(await channel.ask(4, 5, '03')).toBe('00000000')
    await raw.ask(10, getRandom)
    // QEMU sends the C union with its three bytes of padding, then waits.
    expect(await channel.ask(4, 5, '02000000')).toBe('00000000')
    expect(await channel.ask(8, 4)).toBe('0000000000000000')
    expect(await channel.ask(4, 5, '04000000')).toBe('00000000')
    expect(await channel.ask(4, 5, '05')).toBe('0000003d')
    expect(await channel.ask(12, 5, '01', 1)).toBe('00000000' + '000000000001efff')
    await raw.ask(10, getRandom)
    expect(tpm.localities).toEqual([3, 1])
  })

  it('knows the dynamic launch and its bit', async () => {
    const { control, tpm } = await served('swtpm', { powerOn: true })
    const channel = await control()
    expect(await channel.ask(8, 4)).toBe('0000000000000000')
    expect(await channel.ask(12, 6, 7, 5, '0102030405', 8)).toBe('000000000000000000000000')
    expect(tpm.calls.slice(1)).toEqual(['hashStart', 'hashData 5', 'hashEnd'])
    expect(await channel.ask(8, 4)).toBe('0000000001000000')
    expect(await channel.ask(4, 0xb, '02000000')).toBe('0000003d')
    expect(await channel.ask(4, 0xb, '09')).toBe('0000003d')
    expect(await channel.ask(4, 0xb, '03')).toBe('00000000')
    expect(await channel.ask(8, 4)).toBe('0000000000000000')
  })

  it('gives state blobs from an offset on, and takes them while stopped', async () => {
    const { control, tpm } = await served('swtpm', { powerOn: true })
    const channel = await control()
    const blob = tpm.blobs.get('permanent') ?? new Uint8Array(0)
    expect(await channel.ask(16 + 5000, 0xc, 1, 1, 0)).toBe(bytes(0, 0, 5000, 5000, blob).toString('hex'))
    expect(await channel.ask(16 + 10, 0xc, 0, 1, 4990)).toBe(
      bytes(0, 0, 10, 10, blob.subarray(4990)).toString('hex'),
    )
    expect(await channel.ask(16, 0xc, 0, 1, 5000)).toBe(bytes(0, 0, 0, 0).toString('hex'))
    expect(await channel.ask(16, 0xc, 0, 1, 0xffffffff)).toBe(bytes(0, 0, 0, 0).toString('hex'))
    // swtpm's TPM_RETRY: no such blob, which is no failure.
    expect(await channel.ask(16, 0xc, 0, 3, 0)).toBe(bytes(0x800, 0, 0, 0).toString('hex'))
    expect(await channel.ask(16, 0xc, 0, 9, 0)).toBe(bytes(0x800, 0, 0, 0).toString('hex'))

    expect(await channel.ask(4, 0xe)).toBe('00000000')
    expect(await channel.ask(4, 0xd, 0, 1, 3, 'abcdef')).toBe('00000000')
    expect(await channel.ask(4, 0xd, 0, 2, 2, '0701')).toBe('00000000')
    expect(await channel.ask(4, 0xd, 0, 2, 2, 'ffff')).toBe('00000003')
    expect(await channel.ask(4, 0xd, 0, 9, 2, 'ffff')).toBe('00000003')
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(tpm.started).toBe(true)
    expect(await channel.ask(16 + 3, 0xc, 0, 1, 0)).toBe(bytes(0, 0, 3, 3, 'abcdef').toString('hex'))
  })

  it('resumes a stored volatile state at INIT until it is told to forget it', async () => {
    const { control, data, tpm } = await served('swtpm', { powerOn: true, firstCommand: startupClear })
    const [channel, raw] = [await control(), await data()]
    expect(await channel.ask(4, 0xa)).toBe('00000000')
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(await raw.ask(20, getRandom)).toBe(hex(random(8)))
    expect(await channel.ask(4, 2, 1)).toBe('00000000')
    expect(tpm.started).toBe(true)
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(await raw.ask(10, getRandom)).toBe(hex(response(0x100)))
  })

  it('negotiates the buffer size while stopped', async () => {
    const { control } = await served('swtpm')
    const channel = await control()
    expect(await channel.ask(16, 0x11, 0)).toBe(bytes(0, 4096, 2808, 4096).toString('hex'))
    expect(await channel.ask(16, 0x11, 3968)).toBe(bytes(0, 3968, 2808, 4096).toString('hex'))
    expect(await channel.ask(16, 0x11, 1)).toBe(bytes(0, 2808, 2808, 4096).toString('hex'))
    expect(await channel.ask(4, 2, 0)).toBe('00000000')
    expect(await channel.ask(4, 0x11, 4096)).toBe('0000000a')
    expect(await channel.ask(16, 0x11, 0)).toBe(bytes(0, 2808, 2808, 4096).toString('hex'))
  })

  it('describes the TPM as JSON, from an offset on', async () => {
    const information = {
      specification: { family: '2.0', level: 0, revision: 164 },
      attributes: { manufacturer: 'id:00001014', version: 'id:20191023', model: 'swtpm' },
      rsaKeySizes: [2048],
    }
    const server = await serveTpm({
      port: Object.assign(new ToyTpm(), { information }),
      protocol: 'swtpm',
      tcpPort: 0,
    })
    afterwards(async () => server.close())
    const channel = await client(server.addresses.control)
    const text = '{"TPMSpecification":{"family":"2.0","level":0,"revision":164}}\0'
    expect(await channel.ask(12 + 63, 0x12, 0, 1, 0, 0)).toBe(
      bytes(0, 63, 63, Buffer.from(text)).toString('hex'),
    )
    expect(await channel.ask(12 + 53, 0x12, 0, 1, 10, 0)).toBe(
      bytes(0, 63, 53, Buffer.from(text.slice(10))).toString('hex'),
    )
    expect(await channel.ask(4, 0x12, 0, 1, 62, 0)).toBe('00000003')
    expect(await channel.ask(15, 0x12, 0, 0x80, 0, 0)).toBe(bytes(0, 3, 3, '7b7d00').toString('hex'))
  })

  it('refuses what it does not know or cannot do, and says so in the log', async () => {
    const { control, log } = await served('swtpm')
    const channel = await control()
    expect(await channel.ask(4, 0)).toBe('0000000a')
    expect(await channel.ask(4, 0x99, 1, 2, 3)).toBe('0000000a')
    expect(await channel.ask(4, 0x10)).toBe('0000001f')
    expect(log.at(-1)).toMatch(/SET_DATAFD is not supported/)
    expect(await channel.ask(8, 0xf)).toBe('0000000000000000')
    expect(await channel.ask(4, 0x13, 3)).toBe('00000000')
    channel.send(0xd, 0, 1, 0xffffffff)
    expect(await channel.untilEnd()).toBe('00000003')
  })
})

/** The relay between the host and plugins. */
import { describe, expect, it } from 'vitest'
import { PluginRelay } from '../../../../emulator/hypervisor/plugin-relay.ts'
import { type AttachResponse, type Hello, silentLogger } from '../../../../sdk/rpc/index.ts'

const hello: Hello = { vm: 'vm', role: 'source', plugin: 'test', pluginVersion: '1' }
const side = { vm: 'vm', role: 'source' } as const
const offer = { registration: 'r-1', clone: 'c', open: new Uint8Array() }

async function next(outgoing: AsyncIterable<AttachResponse>): Promise<AttachResponse> {
  const { value } = await outgoing[Symbol.asyncIterator]().next()
  return value as AttachResponse
}

describe('the relay', () => {
  it('brings each answer to whoever asked', async () => {
    const relay = new PluginRelay(silentLogger)
    const attachment = relay.attach(hello)
    const first = relay.ask(side, 'openOffer', offer)
    const second = relay.ask(side, 'refill', { registration: 'r-1', frames: [1n] })
    const grants = [Uint8Array.of(1)]
    attachment.receive({ request: 2n, message: { case: 'grants', value: { grants } } })
    const challenge = { challenge: Uint8Array.of(2), qualifyingData: new Uint8Array(32) }
    attachment.receive({ request: 1n, message: { case: 'challenge', value: challenge } })
    await expect(first).resolves.toEqual(challenge)
    await expect(second).resolves.toEqual({ grants })
    expect((await next(attachment.outgoing)).message?.case).toBe('openOffer')
  })

  it("passes a refusal on under the plugin's own code", async () => {
    const relay = new PluginRelay(silentLogger)
    const attachment = relay.attach(hello)
    const known = relay.ask(side, 'openOffer', offer)
    attachment.receive({
      request: 1n,
      message: { case: 'refusal', value: { code: 'REFUSED_MEASUREMENT', message: 'not in the policy' } },
    })
    await expect(known).rejects.toMatchObject({ code: 'REFUSED_MEASUREMENT', message: 'not in the policy' })
    const own = relay.ask(side, 'openOffer', offer)
    attachment.receive({
      request: 2n,
      message: { case: 'refusal', value: { code: 'NOT_TODAY', message: 'no' } },
    })
    await expect(own).rejects.toMatchObject({
      code: 'PERMISSION_DENIED',
      metadata: { pluginCode: 'NOT_TODAY' },
    })
  })

  it('tells a plugin that another took its place, and only then', () => {
    const relay = new PluginRelay(silentLogger)
    const first = relay.attach(hello)
    const other = relay.attach({ ...hello, role: 'destination' })
    const second = relay.attach(hello)
    expect(first.notice).toMatchObject({ code: 'ABORTED', metadata: side })
    relay.detach(other)
    expect([other.notice, second.notice]).toEqual([undefined, undefined])
  })

  it('refuses an answer of the wrong kind, and ignores one that nobody waits for', () => {
    const relay = new PluginRelay(silentLogger)
    const attachment = relay.attach(hello)
    relay.ask(side, 'openOffer', offer).catch(() => undefined)
    const grants = { case: 'grants', value: { grants: [] } } as const
    expect(() => {
      attachment.receive({ request: 1n, message: grants })
    }).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT' }))
    attachment.receive({ request: 77n, message: grants })
  })

  it('tells whoever waits when the plugin goes away or is replaced', async () => {
    const relay = new PluginRelay(silentLogger)
    await expect(relay.ask(side, 'openOffer', offer)).rejects.toMatchObject({ code: 'PLUGIN_UNAVAILABLE' })
    const first = relay.attach(hello)
    const waiting = relay.ask(side, 'openOffer', offer)
    const second = relay.attach(hello)
    await expect(waiting).rejects.toMatchObject({ code: 'PLUGIN_UNAVAILABLE' })
    relay.detach(first)
    expect(relay.attachedRoles('vm')).toEqual(['source'])
    relay.detach(second)
    expect(relay.attachedRoles('vm')).toEqual([])
  })

  it('gives up when the caller does', async () => {
    const relay = new PluginRelay(silentLogger)
    relay.attach(hello)
    const controller = new AbortController()
    const waiting = relay.ask(side, 'openOffer', offer, controller.signal)
    controller.abort(new Error('the other side refused'))
    await expect(waiting).rejects.toThrow('the other side refused')
  })
})

// Parts of the control channel that depend on the transport or on what a TPM can do.

import { expect, it } from 'vitest'
import { ByteQueue } from '../../../../emulator/tpm-server/byte-queue.ts'
import { defaultLimits } from '../../../../emulator/tpm-server/protocol.ts'
import { SwtpmControl } from '../../../../emulator/tpm-server/swtpm-control.ts'
import type { TakeDescriptor } from '../../../../emulator/tpm-server/swtpm-control.ts'
import { defaultRules, memoryStore, SwtpmState } from '../../../../emulator/tpm-server/swtpm-state.ts'
import type { TpmPort } from '../../../../emulator/tpm-server/index.ts'
import { bytes } from '../../../integration/tpm-server/client.ts'
import { ToyTpm } from '../../../integration/tpm-server/toy-tpm.ts'

function reply(tpm: TpmPort, request: Buffer, takeDescriptor?: TakeDescriptor): string {
  const state = new SwtpmState(tpm, defaultRules, defaultLimits, () => undefined, memoryStore())
  const input = new ByteQueue()
  input.append(request)
  const step = new SwtpmControl(state, takeDescriptor).take(input)
  return step.kind === 'reply' ? Buffer.from(step.bytes).toString('hex') : step.kind
}

it('has SET_DATAFD where descriptors can be received, and takes the one that came', () => {
  expect(reply(new ToyTpm(), bytes(1), () => 'taken')).toBe('000000000001ffff')
  expect(reply(new ToyTpm(), bytes(0x10), () => 'taken')).toBe('00000000')
  expect(reply(new ToyTpm(), bytes(0x10), () => 'none')).toBe('00000003')
  expect(reply(new ToyTpm(), bytes(0x10), () => 'connected')).toBe('0000001f')
  expect(reply(new ToyTpm(), bytes(1))).toBe('000000000001efff')
})

it('tells the TPM the buffer size, within the limits', () => {
  const tpm = new ToyTpm()
  expect(reply(tpm, bytes(0x11, 3968))).toBe(bytes(0, 3968, 2808, 4096).toString('hex'))
  reply(tpm, bytes(0x11, 1))
  reply(tpm, bytes(0x11, 0))
  expect(tpm.calls).toEqual(['setBufferSize 3968', 'setBufferSize 2808'])
})

it('answers that a state cannot be given or taken when the TPM says so', () => {
  class Broken extends ToyTpm {
    override saveState(): Uint8Array {
      throw new Error('expected a state, found none')
    }

    override hashStart(): void {
      throw new Error('expected to be ready')
    }
  }
  const tpm = new Broken()
  tpm.powerOn()
  expect(reply(tpm, bytes(0xc, 0, 1, 0))).toBe(bytes(9, 0, 0, 0).toString('hex'))
  expect(reply(tpm, bytes(0xa))).toBe('00000009')
  expect(reply(tpm, bytes(6))).toBe('00000009')
})

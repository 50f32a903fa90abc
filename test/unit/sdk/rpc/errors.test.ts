/** The table of codes, and how errors travel. */
import { readFileSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { Metadata } from '@grpc/grpc-js'
import protobuf from 'protobufjs'
import { describe, expect, it } from 'vitest'
import {
  PalimpsestError,
  errorTable,
  grpcStatus,
  invalidField,
  isErrorCode,
  required,
  type ErrorCode,
} from '../../../../sdk/rpc/index.ts'
import { descriptor } from '../../../../sdk/rpc/contract/descriptor.ts'
import { fromCallError, toWireStatus } from '../../../../sdk/rpc/status.ts'

const codes = Object.keys(errorTable) as ErrorCode[]
const protos = path.resolve(import.meta.dirname, '../../../../protos')

/** google.rpc.Status as protobufjs gives it. */
interface RpcStatus {
  readonly details: readonly { readonly type_url: string; readonly value: Uint8Array }[]
}

/** What a client's grpc-js would throw for a status. */
function received(wire: { code: number; details: string; metadata?: Metadata }): PalimpsestError {
  return fromCallError(Object.assign(new Error(wire.details), wire), '/p.S/M')
}

describe('the table', () => {
  it.each(codes)('%s has a status and an action', (code) => {
    const error = new PalimpsestError(code, 'x')
    expect(Object.keys(grpcStatus)).toContain(error.status)
    expect(error.callerAction).toMatch(/^[A-Z].*\.$/)
  })

  it('agrees with every "STATUS (CODE)" in the comments of the contract', () => {
    const files = readdirSync(protos, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.proto'),
    )
    const pairs = files.flatMap((name) => [
      ...readFileSync(path.join(protos, name), 'utf8').matchAll(/\| ([A-Z_]+) \(([A-Z_, ]+)\) \|/g),
    ])
    expect(pairs.length).toBeGreaterThan(10)
    for (const [text, status, list = ''] of pairs) {
      for (const code of list.split(', ')) {
        expect(isErrorCode(code), text).toBe(true)
        if (isErrorCode(code)) expect(errorTable[code].status, text).toBe(status)
      }
    }
  })
})

describe('an error on the wire', () => {
  it.each(codes)('%s comes back as it was', (code) => {
    const sent = new PalimpsestError(code, 'what happened', {
      metadata: { vm: 'vm-7' },
      violations: [{ field: 'a[1].b', description: 'expected c' }],
      retryAfterMs: 2500,
      cause: new Error('secret'),
    })
    const wire = toWireStatus(sent, 'r')
    expect(JSON.stringify(wire.metadata.getMap())).not.toContain('secret')
    const { name, message, metadata, violations, retryAfterMs, cause } = received(wire)
    expect({ name, message, metadata, violations, retryAfterMs, cause }).toEqual({
      name: 'PalimpsestError',
      message: 'what happened',
      metadata: { vm: 'vm-7' },
      violations: [{ field: 'a[1].b', description: 'expected c' }],
      retryAfterMs: 2500,
      cause: undefined,
    })
    expect(received(wire).code).toBe(code)
  })

  it('carries google.rpc.Status as other implementations read it', () => {
    const wire = toWireStatus(
      new PalimpsestError('STALE_NONCE', 'too late', { metadata: { ttl: '60' } }),
      'r',
    )
    const root = protobuf.Root.fromJSON(descriptor as protobuf.INamespace)
    const [bytes] = wire.metadata.get('grpc-status-details-bin')
    const status = root.lookupType('google.rpc.Status').decode(bytes as Buffer) as unknown as RpcStatus
    expect(status).toMatchObject({ code: 9, message: 'too late' })
    const [detail] = status.details
    expect(detail?.type_url).toBe('type.googleapis.com/google.rpc.ErrorInfo')
    const info = root.lookupType('google.rpc.ErrorInfo').decode(detail?.value ?? new Uint8Array())
    expect(info.toJSON()).toEqual({ reason: 'STALE_NONCE', domain: 'palimpsest', metadata: { ttl: '60' } })
  })

  it('stays small whatever it carries', () => {
    const long = 'ü'.repeat(100_000)
    const many = Array.from({ length: 1000 }, (_, i) => [`${i}${long}`, long] as const)
    const wire = toWireStatus(
      new PalimpsestError('INVALID_ARGUMENT', long, {
        metadata: Object.fromEntries(many),
        violations: many.map(([field, description]) => ({ field, description })),
      }),
      'r',
    )
    const [bytes] = wire.metadata.get('grpc-status-details-bin')
    expect((bytes as Buffer).length).toBeLessThanOrEqual(6 * 1024)
    expect(wire.details.length).toBeLessThanOrEqual(1024)
    expect(received(wire).code).toBe('INVALID_ARGUMENT')
  })

  it.each([
    ['an Error', new Error('password')],
    ['a string', 'password'],
    ['an Error with a code of Node', Object.assign(new Error('password'), { code: 'ENOENT' })],
    ['an Error with a code of the table', Object.assign(new Error('password'), { code: 'STALE_NONCE' })],
    ['nothing', undefined],
  ])('made of %s says no more than its request id', (_case, thrown) => {
    const wire = toWireStatus(thrown, 'request-7')
    expect(wire.code).toBe(grpcStatus.INTERNAL)
    expect(wire.details).toBe("internal error, request request-7: the server's log has the cause")
    expect(JSON.stringify(received(wire))).not.toContain('password')
  })

  it.each([
    [grpcStatus.UNAVAILABLE, 'UNAVAILABLE'],
    [grpcStatus.FAILED_PRECONDITION, 'STATE'],
    [grpcStatus.UNKNOWN, 'INTERNAL'],
    [grpcStatus.NOT_FOUND, 'NOT_FOUND'],
    [grpcStatus.ABORTED, 'ABORTED'],
    [99, 'INTERNAL'],
  ])('of a foreign server with status %i becomes %s', (code, expected) => {
    expect(received({ code, details: 'x', metadata: new Metadata() }).code).toBe(expected)
    expect(received({ code, details: 'x' }).code).toBe(expected)
  })

  it('with a code of a newer version keeps the code as metadata', () => {
    const wire = toWireStatus(new PalimpsestError('STALE_NONCE', 'x'), 'r')
    const [bytes] = wire.metadata.get('grpc-status-details-bin')
    const text = (bytes as Buffer).toString('latin1').replace('STALE_NONCE', 'STALE_NEWER')
    wire.metadata.set('grpc-status-details-bin', Buffer.from(text, 'latin1'))
    expect(received(wire)).toMatchObject({ code: 'STATE', metadata: { reason: 'STALE_NEWER' } })
  })

  it('with broken details is still an error', () => {
    const metadata = new Metadata()
    metadata.set('grpc-status-details-bin', Buffer.from([0xff, 0xff]))
    expect(received({ code: 5, details: 'gone', metadata })).toMatchObject({
      code: 'NOT_FOUND',
      message: 'gone',
    })
  })
})

describe('helpers', () => {
  it('required returns the value or names the field', () => {
    expect(required(0, 'count')).toBe(0)
    const missing = (): void => {
      required(undefined, 'quote')
    }
    expect(missing).toThrow(invalidField('quote', 'expected a value, found none'))
  })

  it('invalidField makes one violation', () => {
    expect(invalidField('range', 'expected at least 1 block').violations).toEqual([
      { field: 'range', description: 'expected at least 1 block' },
    ])
  })
})

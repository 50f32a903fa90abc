/** Server reflection: what it says of the contract is what buf, which shares no code with it, reads in the proto files. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { Writer } from 'protobufjs'
import { describe, expect, it } from 'vitest'
import { fileDescriptors } from '../../../sdk/rpc/codec/file-descriptors.ts'
import { registry } from '../../../sdk/rpc/index.ts'
import { EchoService } from '../../vectors/rpc/contract/index.ts'
import { reflect, startServer } from './support.ts'

const root = path.resolve(import.meta.dirname, '../../..')
const answer = { text: 'hello', subject: 'somebody', certificateDigest: new Uint8Array() }

/** As much of a FileDescriptorProto in JSON as matters on the wire. */
interface File {
  readonly package: string
  readonly messageType?: readonly Message[]
  readonly enumType?: readonly Enum[]
  readonly service?: readonly { readonly name: string; readonly method: readonly Record<string, unknown>[] }[]
}
interface Message {
  readonly name: string
  readonly field?: readonly Record<string, unknown>[]
  readonly nestedType?: readonly Message[]
  readonly enumType?: readonly Enum[]
  readonly oneofDecl?: readonly { readonly name: string }[]
  readonly options?: { readonly mapEntry?: boolean }
}
interface Enum {
  readonly name: string
  readonly value: readonly { readonly name: string; readonly number?: number }[]
}

const FIELD = ['name', 'number', 'label', 'type', 'typeName', 'oneofIndex', 'jsonName', 'proto3Optional']
const METHOD = ['name', 'inputType', 'outputType', 'clientStreaming', 'serverStreaming']
const pick = (keys: readonly string[], from: Record<string, unknown>) => keys.map((key) => from[key])

/** Declarations by full name, so that it does not matter how they are spread over files. */
function declarations(files: readonly File[]): Map<string, unknown> {
  const found = new Map<string, unknown>()
  const addEnum = (scope: string, { name, value }: Enum) => {
    found.set(
      `${scope}.${name}`,
      value.map((one) => [one.name, one.number ?? 0]),
    )
  }
  const addMessage = (scope: string, message: Message) => {
    const { name, field = [], oneofDecl = [], options } = message
    const fields = field.map((one) => pick(FIELD, one))
    found.set(`${scope}.${name}`, [fields, oneofDecl.map((one) => one.name), options?.mapEntry ?? false])
    for (const nested of message.nestedType ?? []) addMessage(`${scope}.${name}`, nested)
    for (const nested of message.enumType ?? []) addEnum(`${scope}.${name}`, nested)
  }
  for (const file of files) {
    for (const message of file.messageType ?? []) addMessage(file.package, message)
    for (const one of file.enumType ?? []) addEnum(file.package, one)
    for (const { name, method } of file.service ?? []) {
      found.set(
        `${file.package}.${name}`,
        method.map((one) => pick(METHOD, one)),
      )
    }
  }
  return found
}

/** Has buf read proto files, or link a set of descriptors, and print what it understood. */
function buf(input: string, set?: Uint8Array): File[] {
  const program = path.join(root, 'node_modules', '.bin', 'buf')
  const printed = execFileSync(program, ['build', input, '-o', '-#format=json'], {
    input: set,
    cwd: root,
    encoding: 'utf8',
  })
  return (JSON.parse(printed) as { file: File[] }).file
}

/** FileDescriptorSet: the files, each as its field 1. */
function descriptorSet(files: readonly { readonly bytes: Uint8Array }[]): Uint8Array {
  const set = Writer.create()
  for (const { bytes } of files) set.uint32(10).bytes(bytes)
  return set.finish()
}

describe('file descriptors', () => {
  it('[C-18] link, and declare exactly what the proto files do', () => {
    const written = declarations(buf('protos'))
    const reflected = declarations(buf('-#format=binpb', descriptorSet(fileDescriptors(registry.json))))
    expect(written.size).toBeGreaterThan(200)
    expect(new Map([...reflected].filter(([name]) => written.has(name)))).toEqual(written)
  })
})

describe('reflection', () => {
  it('lists the services, describes them, and lets a stranger call', async () => {
    const { address } = await startServer({ echo: () => answer }, { reflection: true })
    const reflected = await reflect(address)
    expect(reflected.services).toEqual([EchoService.typeName])
    const called = await reflected.call(EchoService.typeName, 'Echo', { text: 'from a stranger' })
    expect(called).toMatchObject({ text: 'hello', subject: 'somebody' })
  })

  it('answers what it does not know with NOT_FOUND, and goes on', async () => {
    const { address } = await startServer({ echo: () => answer }, { reflection: true })
    const reflected = await reflect(address)
    const ask = (request: Record<string, string>) => reflected.ask(request)
    expect(await ask({ file_containing_symbol: 'no.Such' })).toMatchObject({
      error_response: { error_code: 5 },
    })
    expect(await ask({ file_by_filename: 'no/such.proto' })).toMatchObject({
      error_response: { error_code: 5 },
    })
    const named = await ask({ file_by_filename: 'palimpsest/test/v1.proto' })
    const containing = await ask({ file_containing_symbol: `${EchoService.typeName}.Echo` })
    expect(named.file_descriptor_response).toEqual(containing.file_descriptor_response)
  })
})

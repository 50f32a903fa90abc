// What is done to a valid command, and what a TPM may answer: a well-formed response whose code points at something that
// the command has, and no change of state but the ones that the Library asks for after a failure.

import { IMPLEMENTED } from '../../../../../../emulator/platform/tpm/commands/index.ts'
import { readState } from '../../../../../../emulator/platform/tpm/state/codecs.ts'
import { PERMANENT_STATE } from '../../../../../../emulator/platform/tpm/state/permanent.ts'
import { SNAPSHOT } from '../../../../../../emulator/platform/tpm/state/volatile.ts'
import {
  baseCode,
  describeResponseCode,
  isFormatOne,
  marshal,
  TPM_CC,
  TPM_RC,
  TPM_RS_PW,
  TPM_ST,
} from '../../../../../../sdk/tpm2/index.ts'
import { type Rig, type SavedStates, type Sent } from './scene.ts'

const HEADER = 10
const MAX_SESSIONS = 3
const KNOWN = new Set<number>(Object.values(TPM_RC))

/** A changed command, and why. */
export interface Variant {
  readonly what: string
  readonly bytes: Uint8Array
  /** response codes without numbers that fit the change; undefined: any of the Library's, or success */
  readonly expected?: ReadonlySet<number>
}

/** Where the areas of a command are. */
interface Layout {
  readonly authSize: number | undefined
  readonly parameters: number
  /** whether HMACs cover the parameters */
  readonly covered: boolean
}

function layout(bytes: Uint8Array): Layout {
  const view = viewOf(bytes)
  const row = IMPLEMENTED.get(view.getUint32(6))?.row
  const afterHandles = HEADER + 4 * (row?.handles.length ?? 0)
  if (view.getUint16(0) !== TPM_ST.SESSIONS)
    return { authSize: undefined, parameters: afterHandles, covered: false }
  const parameters = afterHandles + 4 + view.getUint32(afterHandles)
  return {
    authSize: afterHandles,
    parameters,
    covered: hasHmac(bytes.subarray(afterHandles + 4, parameters)),
  }
}

function hasHmac(area: Uint8Array): boolean {
  const view = viewOf(area)
  for (let at = 0; at < area.length;) {
    if (view.getUint32(at) !== TPM_RS_PW) return true
    at += 4 + 2 + view.getUint16(at + 4) + 1
    at += 2 + view.getUint16(at)
  }
  return false
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** A copy with its length in the header. */
function resized(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice()
  if (copy.length >= 6) viewOf(copy).setUint32(2, copy.length)
  return copy
}

/** Octets to change: all of the header, the handles and the authorization area; of many parameters, some. */
function places(bytes: Uint8Array, dear: boolean): number[] {
  const { parameters } = layout(bytes)
  const whole = dear ? 40 : 200
  const step = dear ? 7 : 3
  return [...bytes.keys()].filter((at) => at < parameters + whole || at % step === 0)
}

const SHORT = new Set<number>([TPM_RC.COMMAND_SIZE, TPM_RC.INSUFFICIENT, TPM_RC.SIZE, TPM_RC.AUTHSIZE])
const LONG = new Set<number>([TPM_RC.COMMAND_SIZE, TPM_RC.SIZE])
const REFUSED = [TPM_RC.BAD_AUTH, TPM_RC.AUTH_FAIL, TPM_RC.POLICY_FAIL]
const WRONG_SIZE = new Set<number>([TPM_RC.COMMAND_SIZE])

const MASKS = [0x01, 0x02, 0x10, 0x80, 0xff]

/** Every change of one octet, in a few ways. */
function* corruptions(bytes: Uint8Array, dear: boolean): Generator<Variant> {
  for (const at of places(bytes, dear)) {
    for (const mask of MASKS) {
      const changed = bytes.slice()
      changed[at] = (changed[at] ?? 0) ^ mask
      yield { what: `octet ${String(at)} ^ 0x${mask.toString(16)}`, bytes: changed }
    }
  }
}

/** Every truncation, with the size as it was and as it is; extensions likewise. */
function* lengths(bytes: Uint8Array, dear: boolean): Generator<Variant> {
  const { covered } = layout(bytes)
  const short = covered ? new Set([...SHORT, ...REFUSED]) : SHORT
  const long = covered ? new Set([...LONG, ...REFUSED]) : LONG
  const kept = new Set(places(bytes, dear))
  for (let length = 0; length < bytes.length; length += 1) {
    if (!kept.has(length)) continue
    const cut = bytes.slice(0, length)
    yield { what: `cut to ${String(length)}`, bytes: cut, expected: WRONG_SIZE }
    yield { what: `cut to ${String(length)}, size too`, bytes: resized(cut), expected: short }
  }
  for (const more of [1, 2, 3, 4, 5, 7, 8, 9, 13, 32, 64, 5000]) {
    for (const octet of [0x00, 0x01, 0xff]) {
      const longer = new Uint8Array(bytes.length + more).fill(octet)
      longer.set(bytes)
      const what = `${String(more)} octets 0x${octet.toString(16)} more`
      yield { what, bytes: longer, expected: WRONG_SIZE }
      yield { what: `${what}, size too`, bytes: resized(longer), expected: long }
    }
  }
}

/** Wrong sizes: of the command, of the authorization area, and of whatever else could be one. */
function* sizes(bytes: Uint8Array, dear: boolean): Generator<Variant> {
  for (const size of [0, 1, 9, 10, bytes.length - 1, bytes.length + 1, 4096, 4097, 0x7fffffff, 0xffffffff]) {
    if (size !== bytes.length) yield with32(bytes, 2, size, 'commandSize', WRONG_SIZE)
  }
  const { authSize, parameters } = layout(bytes)
  if (authSize !== undefined) {
    const size = parameters - authSize - 4
    const rest = bytes.length - authSize - 4
    for (const other of [0, 1, 8, 9, size - 1, size + 1, rest, rest + 1, 0x80000000, 0xffffffff]) {
      if (other !== size) yield with32(bytes, authSize, other, 'authorizationSize')
    }
  }
  for (const at of places(bytes, dear)) {
    if (at < HEADER || at + 2 > bytes.length) continue
    for (const size of [0, 0xffff]) {
      const changed = bytes.slice()
      viewOf(changed).setUint16(at, size)
      yield { what: `16 bits at ${String(at)} := 0x${size.toString(16)}`, bytes: changed }
    }
  }
}

function with32(
  bytes: Uint8Array,
  at: number,
  value: number,
  what: string,
  expected?: ReadonlySet<number>,
): Variant {
  const changed = bytes.slice()
  viewOf(changed).setUint32(at, value)
  const variant = { what: `${what} := 0x${value.toString(16)}`, bytes: changed }
  return expected === undefined ? variant : { ...variant, expected }
}

/** Whatever could be a TPM2B, with an octet less, an octet more, and without contents: sizes agree, contents do not. */
function* contents(bytes: Uint8Array, dear: boolean): Generator<Variant> {
  const { parameters } = layout(bytes)
  const view = viewOf(bytes)
  for (const at of places(bytes, dear)) {
    if (at < parameters || at + 2 > bytes.length) continue
    const size = view.getUint16(at)
    const end = at + 2 + size
    if (size === 0 || end > bytes.length) continue
    for (const other of [0, size - 1, size + 1]) {
      const content = new Uint8Array(other)
      content.set(bytes.subarray(at + 2, Math.min(end, at + 2 + other)))
      const parts = [...bytes.subarray(0, at), other >> 8, other & 0xff, ...content, ...bytes.subarray(end)]
      const what = `${String(size)} octets at ${String(at)} made ${String(other)}`
      yield { what, bytes: resized(Uint8Array.from(parts)) }
    }
  }
}

/** All variants of a command. */
function* variants(bytes: Uint8Array, dear: boolean): Generator<Variant> {
  yield* corruptions(bytes, dear)
  yield* lengths(bytes, dear)
  yield* sizes(bytes, dear)
  yield* contents(bytes, dear)
}

/** The response code; a text when the bytes are no response. */
export function responseOf(response: Uint8Array): number | string {
  if (response.length < HEADER)
    return `expected a response of 10 bytes at least, found ${String(response.length)}`
  const view = viewOf(response)
  const [tag, size, rc] = [view.getUint16(0), view.getUint32(2), view.getUint32(6)]
  if (size !== response.length)
    return `expected responseSize ${String(response.length)}, found ${String(size)}`
  const tags: readonly number[] =
    rc === TPM_RC.SUCCESS ? [TPM_ST.NO_SESSIONS, TPM_ST.SESSIONS] : [TPM_ST.NO_SESSIONS]
  if (!tags.includes(tag)) return `expected another tag, found 0x${tag.toString(16)}`
  if (rc !== TPM_RC.SUCCESS && response.length > HEADER) return 'expected a refusal to be a header alone'
  return rc
}

/** Format-one codes that commands give without a number, since no one handle or parameter is at fault; SIZE is any's. */
const NUMBERLESS: ReadonlyMap<number, readonly number[]> = new Map<number, readonly number[]>([
  [TPM_CC.ClearControl, [TPM_RC.AUTH_FAIL]],
  [TPM_CC.RSA_Decrypt, [TPM_RC.VALUE]],
  [TPM_CC.RSA_Encrypt, [TPM_RC.VALUE]],
  [TPM_CC.PolicyAuthorizeNV, [TPM_RC.VALUE, TPM_RC.HASH]],
  [TPM_CC.NV_Write, [TPM_RC.ATTRIBUTES]],
])

function isNumberless(code: number | undefined, rc: number): boolean {
  return rc === TPM_RC.SIZE || NUMBERLESS.get(code ?? 0)?.includes(rc) === true
}

/** What is wrong with a response code of this command, if something is. */
function wrongCode(command: Uint8Array, rc: number): string | undefined {
  const found = `found ${describeResponseCode(rc)}`
  if (rc === TPM_RC.FAILURE) return `expected anything else, ${found}`
  const row = command.length < HEADER ? undefined : IMPLEMENTED.get(viewOf(command).getUint32(6))?.row
  const handles = row?.handles.length ?? 0
  if (rc >= TPM_RC.REFERENCE_H0 && rc < TPM_RC.REFERENCE_H0 + 7) {
    return rc - TPM_RC.REFERENCE_H0 < handles ? undefined : `expected a handle of the command, ${found}`
  }
  if (rc >= TPM_RC.REFERENCE_S0 && rc < TPM_RC.REFERENCE_S0 + 7) {
    return rc - TPM_RC.REFERENCE_S0 < MAX_SESSIONS ? undefined : `expected a session of the command, ${found}`
  }
  if (!KNOWN.has(baseCode(rc))) return `expected a code of the Library, ${found}`
  if (!isFormatOne(rc)) return undefined
  const number = (rc >> 8) & 0xf
  if ((rc & 0x40) !== 0) {
    const parameters = row?.parameters.length ?? 0
    return number >= 1 && number <= parameters ? undefined : `expected a parameter of the command, ${found}`
  }
  if (number >= 8) {
    // The one after the last stands for sessions that no command may have.
    return number - 8 <= MAX_SESSIONS + 1 && number > 8 ? undefined : `expected a session, ${found}`
  }
  if (number === 0) return isNumberless(row?.code, baseCode(rc)) ? undefined : `expected a number, ${found}`
  return number <= handles ? undefined : `expected a handle of the command, ${found}`
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

/** Which state is not what it was, if one is not. */
export function changedState(before: SavedStates, after: SavedStates): string | undefined {
  if (!same(before.permanent, after.permanent))
    return 'expected the permanent state as it was, found a change'
  if (!same(before.volatile, after.volatile)) return 'expected the volatile state as it was, found a change'
  return undefined
}

/**
 * A state without what a failed command may change: counts of failures, timers, uses of PINs, and the clock with its
 * bound, which stops while there is no NV memory.
 */
function withoutCounts({ permanent, volatile }: SavedStates): SavedStates {
  const lasting = readState(PERMANENT_STATE, permanent)
  const passing = readState(SNAPSHOT, volatile)
  lasting.dictionary.failedTries = 0
  lasting.dictionary.lockoutAuthEnabled = true
  lasting.timing.clockBound = 0n
  for (const nv of lasting.nv.values()) {
    const type = (nv.publicArea.attributes >> 4) & 0xf
    if (type >= 8) nv.data = new Uint8Array(nv.data.length)
  }
  passing.state.healTimer = 0n
  passing.state.lockoutTimer = 0n
  return {
    permanent: marshal(PERMANENT_STATE, lasting),
    volatile: marshal(SNAPSHOT, { ...passing, clock: 0n }),
  }
}

/** What one command did to a TPM. */
export interface Outcome {
  /** 0 also when the response was none */
  readonly rc: number
  /** what is wrong with it */
  readonly wrong: string | undefined
  /** the state may be another now */
  readonly dirty: boolean
}

/** Sends a command that may be anything, and judges what comes of it. `before` is the TPM's state. */
export function strike(rig: Rig, command: Uint8Array, locality: number, before: SavedStates): Outcome {
  const rc = responseOf(rig.tpm.execute(command, locality))
  if (typeof rc === 'string') return { rc: 0, wrong: rc, dirty: true }
  const after = rig.states()
  const unstored = same(rig.store.load('permanent') ?? new Uint8Array(0), after.permanent)
    ? undefined
    : 'expected the permanent state to be stored, found another in the store'
  if (rc === TPM_RC.SUCCESS) return { rc, wrong: unstored, dirty: true }
  const change = changedState(before, after)
  const real = change && changedState(withoutCounts(before), withoutCounts(after))
  return {
    rc,
    wrong: wrongCode(command, rc) ?? real ?? unstored,
    dirty: change !== undefined || rc === TPM_RC.FAILURE,
  }
}

/** Outcomes of all variants of a command: what was wrong, and how often each response code came. */
export interface Report {
  readonly wrong: string[]
  readonly codes: Map<number, number>
}

/** Tries all variants of a scene's command, each on the TPM as it was before the command. */
export function attack(rig: Rig, { bytes, locality, before }: Sent, dear: boolean): Report {
  const report: Report = { wrong: [], codes: new Map() }
  rig.restore(before)
  for (const variant of variants(bytes, dear)) {
    const { rc, wrong, dirty } = strike(rig, variant.bytes, locality, before)
    const unfit =
      variant.expected === undefined || variant.expected.has(baseCode(rc))
        ? undefined
        : `expected a code that fits, found ${describeResponseCode(rc)}`
    const finding = wrong ?? unfit
    if (finding !== undefined) report.wrong.push(`${variant.what}: ${finding}: ${hex(variant.bytes)}`)
    report.codes.set(rc, (report.codes.get(rc) ?? 0) + 1)
    if (dirty) rig.restore(before)
  }
  return report
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.subarray(0, 600)).toString('hex')
}

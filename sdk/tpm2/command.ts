// What a row of the command tables is: a command's code, handles with their authorization roles, parameters and
// results. From these rows the device dispatches and answers TPM2_GetCapability, and the client marshals.
// Source: TPM 2.0 Library, Part 3, clause 4.4 (the tables' notation); Part 2, clause 8.9 (TPMA_CC), revision 1.59.

import { type Codec } from './codec.ts'

/** Role in which a handle is authorized (Part 1, clause 19.2). */
export type AuthRole = 'USER' | 'ADMIN' | 'DUP'

/** A TPMI_DH_, TPMI_RH_ or TPMI_SH_ type: the handle values that a command takes in one place. */
export interface HandleType {
  readonly name: string
  /** Whether the value is of this type; whether such an entity exists is another question. */
  accepts(handle: number): boolean
}

/** One handle of a command. */
export interface HandleField {
  readonly type: HandleType
  readonly auth: AuthRole | undefined
}

/** A handle in a command's table; `auth` when its use must be authorized. */
export function handle(type: HandleType, auth?: AuthRole): HandleField {
  return { type, auth }
}

type Handles = Readonly<Record<string, HandleField>>
type Codecs = Readonly<Record<string, Codec<never> | Codec<unknown>>>
type ValueOf<C> = C extends Codec<infer T> ? T : never
type Values<C> = { -readonly [K in keyof C]: ValueOf<C[K]> }
type HandleValues<H> = { -readonly [K in keyof H]: number }

interface Flags {
  /** may write NV memory */
  readonly nv?: true
  /** may flush many loaded contexts */
  readonly extensive?: true
  /** the handle area's transient handle is flushed by the command */
  readonly flushed?: true
  /** no sessions at all may go with it (TPM_ST_NO_SESSIONS only) */
  readonly noSessions?: true
  /** physical presence is asked for with platform authorization: when TPM2_PP_Commands selected it, or always */
  readonly pp?: 'selectable' | 'required'
}

interface Row<H extends Handles, P extends Codecs, O extends Handles, R extends Codecs> extends Flags {
  readonly name: string
  readonly code: number
  readonly handles: H
  readonly parameters: P
  readonly responseHandles: O
  readonly response: R
}

/** A command's name in a table and what stands beside it, in the order of the wire. */
export interface Field<T> {
  readonly name: string
  readonly value: T
}

/** One command of Part 3. `Q` is its request, `S` its response: handles and parameters by name, in one flat object. */
export interface Command<Q extends object, S extends object> extends Flags {
  readonly name: string
  readonly code: number
  readonly handles: readonly Field<HandleField>[]
  readonly parameters: readonly Field<Codec<unknown>>[]
  readonly responseHandles: readonly Field<HandleField>[]
  readonly response: readonly Field<Codec<unknown>>[]
  /** never there: carries the types */
  readonly types?: { readonly request: Q; readonly response: S }
}

/** Any row of the tables. */
export type AnyCommand = Command<object, object>

/** Request of a command: every handle as a number and every parameter. */
export type Request<C> = C extends Command<infer Q, object> ? Q : never
/** Response of a command. */
export type Response<C> =
  C extends Command<never, infer S> ? S : C extends Command<infer _, infer S> ? S : never

function fields<T>(record: Readonly<Record<string, T>>): readonly Field<T>[] {
  return Object.entries(record).map(([name, value]) => ({ name, value }))
}

/** A row of the tables. The order of keys is the order on the wire. */
export function command<
  const H extends Handles,
  const P extends Codecs,
  const O extends Handles,
  const R extends Codecs,
>(row: Row<H, P, O, R>): Command<HandleValues<H> & Values<P>, HandleValues<O> & Values<R>> {
  return {
    ...row,
    handles: fields(row.handles),
    parameters: fields(row.parameters),
    responseHandles: fields(row.responseHandles),
    response: fields(row.response),
  }
}

/** Whether the command's first parameter can be encrypted: it is a TPM2B (Part 1, clause 21). */
export function decryptable(row: AnyCommand): boolean {
  return row.parameters[0]?.value.sized === true
}

/** Whether the response's first parameter can be encrypted. */
export function encryptable(row: AnyCommand): boolean {
  return row.response[0]?.value.sized === true
}

/** Handles whose use must be authorized; they come first in the handle area. */
export function authHandles(row: AnyCommand): number {
  return row.handles.filter(({ value }) => value.auth !== undefined).length
}

/** TPMA_CC (Part 2, 8.9): the command as TPM2_GetCapability(TPM_CAP_COMMANDS) describes it. */
export function commandAttributes(row: AnyCommand): number {
  const bit = (flag: boolean | undefined, position: number): number => (flag === true ? 2 ** position : 0)
  return (
    (row.code & 0xffff) +
    bit(row.nv, 22) +
    bit(row.extensive, 23) +
    bit(row.flushed, 24) +
    row.handles.length * 2 ** 25 +
    bit(row.responseHandles.length > 0, 28)
  )
}

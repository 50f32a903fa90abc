// One registration: the terms that both VMs agreed to, the keys they granted for it, and which blocks were copied.
// Keys enter by grants, are used by the copiers, and are wiped when the registration ends; nothing returns them.

import { RangeMap, RunSet } from '../block/index.ts'
import { hex, type HpkeKeyPair, type SectorSize } from '../crypto/index.ts'
import { type Open, roles } from '../attest/index.ts'
import { checkAgreement, type KeyKind, type OpenedGrant } from '../grant/index.ts'
import { type GrantedKeys, PalimpsestError, type RegistrationState, type Role } from '../rpc/index.ts'
import { KeyRing } from './key-ring.ts'
import { Lease, type PlatformState } from './lease.ts'

/** A registration of this worker. */
export class Registration {
  readonly open: Open
  readonly openBytes: Uint8Array
  readonly transcript: Uint8Array
  readonly hpke: HpkeKeyPair
  readonly pairs: RangeMap
  readonly lease: Lease
  readonly #grants: Record<Role, OpenedGrant[]> = { source: [], destination: [] }
  readonly #spentGrants = new Set<string>()
  readonly #read = new KeyRing()
  readonly #write: Record<Role, KeyRing> = { source: new KeyRing(), destination: new KeyRing() }
  readonly #copied: Record<Role, RunSet> = { source: new RunSet(), destination: new RunSet() }
  #ended = false
  #copies = 0n

  constructor(terms: {
    open: Open
    openBytes: Uint8Array
    transcript: Uint8Array
    hpke: HpkeKeyPair
    baseline: PlatformState
  }) {
    this.open = terms.open
    this.openBytes = terms.openBytes
    this.transcript = terms.transcript
    this.hpke = terms.hpke
    this.lease = new Lease(terms.baseline)
    this.pairs = RangeMap.from(terms.open.pairs)
  }

  get id(): string {
    return this.open.registration
  }

  get state(): RegistrationState {
    if (this.#ended) return 'expired'
    const { source, destination } = this.#grants
    if (source.length > 0 && destination.length > 0) return 'live'
    if (source.length > 0) return 'keyed-source'
    return destination.length > 0 ? 'keyed-destination' : 'open'
  }

  /** Blocks copied so far. */
  get copies(): bigint {
    return this.#copies
  }

  /** Keys held now. */
  get keys(): number {
    return this.#read.size + this.#write.source.size + this.#write.destination.size
  }

  /** What was granted so far, by role and kind of key; used and wiped keys count too. */
  get granted(): GrantedKeys[] {
    const found = new Map<string, GrantedKeys>()
    for (const role of roles) {
      for (const { use, mode, scope, frames } of this.#grants[role].flatMap(({ entries }) => entries)) {
        const id = [role, use, mode, scope].join()
        const keys = frames === null ? 1n : frames.reduce((sum, run) => sum + run.count, 0n)
        found.set(id, { role, use, mode, scope, keys: (found.get(id)?.keys ?? 0n) + keys })
      }
    }
    return [...found.values()]
  }

  /** Whether a grant gives more than the named blocks. */
  get wideScope(): boolean {
    return this.granted.some(({ scope }) => scope !== 'block')
  }

  /** Sector size of the volume keys; disks only. */
  sectorSize(role: Role): SectorSize {
    return this.#grants[role].find((grant) => grant.sectorSize !== undefined)?.sectorSize ?? 512
  }

  /**
   * Takes opened grants of one side, all or none. `state` is the platform's state now; the lease starts when both
   * sides are in.
   * @throws PalimpsestError GRANT_SPENT for a grant that was given before; GRANT_EXPIRED
   * @throws Refusal REFUSED_PEER when the two sides do not name each other; REFUSED_SCOPE
   */
  submit(grants: readonly OpenedGrant[], state: PlatformState): void {
    if (this.#ended) throw new PalimpsestError('GRANT_EXPIRED', 'the registration has ended; open a new one')
    for (const grant of grants) this.#checkUnspent(grant)
    const all = (role: Role) => [...this.#grants[role], ...grants.filter((grant) => grant.role === role)]
    checkAgreement(all('source'), all('destination'))
    for (const grant of grants) {
      this.#spentGrants.add(hex(grant.id))
      this.#grants[grant.role].push(grant)
      for (const use of grant.entries) (use.use === 'read' ? this.#read : this.#write[grant.role]).add(use)
    }
    if (this.state === 'live') this.#limitLease(state)
  }

  /** The registration's lease and state allow a copy in `state`. @throws PalimpsestError, after wiping when it ended */
  checkLive(state?: PlatformState): void {
    if (this.state !== 'live') {
      const code = this.#ended ? 'GRANT_EXPIRED' : 'REGISTRATION_STATE'
      throw new PalimpsestError(
        code,
        `registration ${this.id} is ${this.state}, expected live; register again`,
      )
    }
    const ended = state === undefined ? undefined : this.lease.ended(state)
    if (ended === undefined) return
    this.end()
    throw ended
  }

  /**
   * Marks a block as copied for `writer`, before it is. Whatever generation the host names: under one set of terms a
   * block is stored once.
   * @throws PalimpsestError GRANT_SPENT when it was before
   */
  spend(writer: Role, first: bigint): void {
    if (this.#copied[writer].add({ first, count: 1n }) === 1n) return
    throw new PalimpsestError(
      'GRANT_SPENT',
      `block ${first.toString()} was copied before under these terms; each block is copied once`,
    )
  }

  /** Takes back {@link spend} for a copy that was not stored. */
  unspend(writer: Role, first: bigint): void {
    this.#copied[writer].delete({ first, count: 1n })
  }

  /** The keys of second blocks that were stored are of no more use, and are wiped. */
  dropWriteKeys(writer: Role, frames: readonly bigint[]): void {
    this.#write[writer].drop(frames)
  }

  /** Counts stored blocks. */
  stored(count: number): void {
    this.#copies += BigInt(count)
  }

  /** Kinds of the keys for a first block and for `writer`'s second block. @throws PalimpsestError GRANT_MISSING */
  kinds(first: bigint, writer: Role, second: bigint): { readonly read: KeyKind; readonly write: KeyKind } {
    return { read: this.#read.kind(first), write: this.#write[writer].kind(second) }
  }

  /** Calls `fn` with the key that opens the first block in `frame`. @throws PalimpsestError GRANT_MISSING */
  useReadKey<T>(frame: bigint, fn: (key: Uint8Array, kind: KeyKind) => T): T {
    return this.#read.use(frame, fn)
  }

  /** Calls `fn` with the key for `writer`'s second block in `frame`. @throws PalimpsestError GRANT_MISSING */
  useWriteKey<T>(writer: Role, frame: bigint, fn: (key: Uint8Array, kind: KeyKind) => T): T {
    return this.#write[writer].use(frame, fn)
  }

  /** Wipes all keys; the registration can not be used again. */
  end(): void {
    this.#ended = true
    this.#read.wipe()
    this.#write.source.wipe()
    this.#write.destination.wipe()
    this.hpke.privateKey.wipe()
  }

  /** Starts the lease, or shortens it: no grant may be used longer than it says. */
  #limitLease(state: PlatformState): void {
    const limits = [...this.#grants.source, ...this.#grants.destination].map((grant) => grant.notAfter)
    const set = limits.filter((limit) => limit !== 0n)
    if (this.lease.until === 0n) this.lease.start(state.clock, set)
    else this.lease.shorten(set)
    this.checkLive(state)
  }

  #checkUnspent(grant: OpenedGrant): void {
    if (!this.#spentGrants.has(hex(grant.id))) return
    throw new PalimpsestError('GRANT_SPENT', `grant ${hex(grant.id)} was used already; ask for a new grant`)
  }
}

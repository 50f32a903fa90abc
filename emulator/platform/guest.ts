// A launched guest VM as the platform holds it: its place in the ownership table, its nested mappings, its key slot.

import type { PublicKey } from '../../sdk/crypto/index.ts'
import { NestedMap } from './memory/nested.ts'
import type { KeySlot } from './memory/controller.ts'
import { PalimpsestError } from '../../sdk/rpc/index.ts'
import type { OwnerVm } from './ownership-rows.ts'

/** One guest. */
export class Guest {
  readonly owner: OwnerVm
  /** The identity key that the launch bound. */
  readonly identity: PublicKey
  readonly nested = new NestedMap()
  /** Set once the VM has terminated: accesses that still wait must not go on. */
  ended = false
  #slot: KeySlot | undefined

  constructor(owner: OwnerVm, identity: PublicKey) {
    this.owner = owner
    this.identity = identity
  }

  /** Name of the VM. */
  get name(): string {
    return this.owner.name
  }

  /** The keys, or undefined before they are installed. */
  get installedSlot(): KeySlot | undefined {
    return this.#slot
  }

  /** The keys. @throws STATE before they are installed */
  get slot(): KeySlot {
    if (this.#slot !== undefined) return this.#slot
    throw new PalimpsestError(
      'STATE',
      `expected keys in the slot of "${this.name}", found none: install keys through the guest port first`,
      { metadata: { vm: this.name, expected: 'keys installed', found: 'no keys' } },
    )
  }

  /** Fills the empty slot. */
  fillSlot(slot: KeySlot): void {
    this.#slot = slot
  }

  /** Empties the slot and returns what was in it. */
  takeSlot(): KeySlot | undefined {
    const slot = this.#slot
    this.#slot = undefined
    return slot
  }
}

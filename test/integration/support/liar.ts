// A host that lies on demand: what it relays to plugins is recorded, and changed as the test at hand says.

import type { RelayTampering } from '../../../emulator/hypervisor/index.ts'
import type { ChallengeReply, EvidenceDelivery, GrantReply, OpenOffer, Role } from '../../../sdk/rpc/index.ts'

/** A side of a registration, as the host addresses it. */
export interface Side {
  readonly vm: string
  readonly role: Role
}

/** What the host relayed, with the plugin's answer. */
export interface Relayed<V, A> {
  readonly side: Side
  readonly value: V
  readonly answer: A
}

/** The lies that tests tell. */
export type Lie = Pick<RelayTampering, 'openOffer' | 'evidence'>

/** Records and changes. Give `tampering` to startTestbed. */
export class Liar {
  /** The lie that is told now. */
  lie: Lie = {}
  readonly offers: Relayed<OpenOffer, ChallengeReply>[] = []
  readonly evidence: Relayed<EvidenceDelivery, GrantReply>[] = []

  readonly tampering: RelayTampering = {
    openOffer: async (side, value, pass) => {
      const answer = await (this.lie.openOffer?.(side, value, pass) ?? pass(value))
      this.offers.push({ side, value, answer })
      return answer
    },
    evidence: async (side, value, pass) => {
      const answer = await (this.lie.evidence?.(side, value, pass) ?? pass(value))
      this.evidence.push({ side, value, answer })
      return answer
    },
  }

  /** Runs `work` while `lie` is told. */
  async telling<T>(lie: Lie, work: () => Promise<T>): Promise<T> {
    this.lie = lie
    try {
      return await work()
    } finally {
      this.lie = {}
    }
  }

  /** The newest evidence that was relayed to a side of a registration. */
  evidenceFor(registration: string, role: Role): Relayed<EvidenceDelivery, GrantReply> {
    return newest(this.evidence, registration, role)
  }

  /** The newest terms that were offered to a side of a registration. */
  offerFor(registration: string, role: Role): Relayed<OpenOffer, ChallengeReply> {
    return newest(this.offers, registration, role)
  }
}

/** A lie told to one side only. */
export function toSide(role: Role, lie: NonNullable<Lie['evidence']>): Lie {
  return { evidence: (side, value, pass) => (side.role === role ? lie(side, value, pass) : pass(value)) }
}

function newest<V extends { readonly registration: string }, A>(
  records: readonly Relayed<V, A>[],
  registration: string,
  role: Role,
): Relayed<V, A> {
  const found = records.findLast(
    ({ side, value }) => side.role === role && value.registration === registration,
  )
  if (found === undefined) throw new Error(`nothing was relayed to the ${role} of ${registration}`)
  return found
}

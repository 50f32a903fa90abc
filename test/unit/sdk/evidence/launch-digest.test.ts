// SEV-SNP launch digests. The chain is computed again here from the fields of PAGE_INFO with node:crypto alone; the
// digests in hexadecimal are what virtee's sev-snp-measure prints for the same files, which shares no code with this.

import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { hex, utf8 } from '../../../../sdk/crypto/index.ts'
import {
  cpuSignature,
  EvidenceError,
  type EvidenceErrorCode,
  snpFirmwareDigest,
  type SnpGuest,
  snpLaunchDigest,
  workerLaunchDigest,
} from '../../../../sdk/evidence/index.ts'
import { PageChain } from '../../../../sdk/evidence/snp/page-chain.ts'
import { vmsaPage } from '../../../../sdk/evidence/snp/vcpu.ts'
import { COMPLETE, firmwareImage, SECTIONS } from './snp-images.ts'

const PAGE = 4096
const NONE = '00'.repeat(48)
const sha384 = (bytes: Uint8Array) => createHash('sha384').update(bytes).digest('hex')
const page = (fill: number) => new Uint8Array(PAGE).fill(fill)

/** One PAGE_INFO: digest so far, contents, length 0x70, type, no flags, address as 16 digits, lowest byte first. */
function link(before: string, contents: string, type: string, address: string): string {
  return sha384(Buffer.from(`${before}${contents}7000${type}0000000000${address}`, 'hex'))
}

function chainOf(build: (chain: PageChain) => void): string {
  const chain = new PageChain()
  build(chain)
  return hex(chain.digest)
}

describe('the chain of pages', () => {
  it('begins with zeros, and has one link of 0x70 bytes for each page', () => {
    expect(chainOf(() => undefined)).toBe(NONE)
    const first = link(NONE, sha384(page(1)), '01', '00f0ffff00000000')
    expect(
      chainOf((chain) => {
        chain.addContents(0xffff_f000, page(1))
      }),
    ).toBe(first)
    const bytes = new Uint8Array([...page(1), ...page(2)])
    const second = link(
      link(NONE, sha384(page(1)), '01', '00e0ffff00000000'),
      sha384(page(2)),
      '01',
      '00f0ffff00000000',
    )
    expect(
      chainOf((chain) => {
        chain.addContents(0xffff_e000, bytes)
      }),
    ).toBe(second)
  })

  it.each([
    ['ZERO', '03'],
    ['SECRETS', '05'],
    ['CPUID', '06'],
  ] as const)('counts type and address of %s pages, and zeros for their contents', (type, code) => {
    const two = link(link(NONE, NONE, code, '0000800000000000'), NONE, code, '0010800000000000')
    expect(
      chainOf((chain) => {
        chain.addBare(type, 0x80_0000, 2 * PAGE)
      }),
    ).toBe(two)
  })

  it('says of a VMSA that it lies in the highest page of 48 bits', () => {
    const expected = link(NONE, sha384(page(7)), '02', '00f0ffffffff0000')
    expect(
      chainOf((chain) => {
        chain.addVmsa(page(7))
      }),
    ).toBe(expected)
  })

  it('takes whole pages only', () => {
    const chain = new PageChain()
    expect(() => {
      chain.addContents(0, new Uint8Array(PAGE + 1))
    }).toThrow(RangeError)
    expect(() => {
      chain.addContents(1, page(0))
    }).toThrow(RangeError)
    expect(() => {
      chain.addBare('ZERO', 0x10, PAGE)
    }).toThrow(RangeError)
    expect(() => {
      chain.addVmsa(new Uint8Array(2 * PAGE))
    }).toThrow(RangeError)
    expect(hex(chain.digest)).toBe(NONE)
  })
})

describe('a vCPU', () => {
  const start = { address: 0xffff_fff0, signature: 0x80_0f12, features: 1n }

  it('starts in the state that QEMU and KVM give it', () => {
    expect(sha384(vmsaPage(start))).toBe(
      '77920c4c629ff47e90c0e174fc1ad0eb6fa664f88cd4739488058a8c6cb1a77b3856f55378e9518d0da99452d51c553a',
    )
    expect(sha384(vmsaPage({ ...start, address: 0x80_b004 }))).toBe(
      '8413b852790765a310d95867a8b00bfca3a802b5a80830044b45e253fe96222657e11e53fcf63eb0e0afd722385bf7b4',
    )
  })

  it.each([
    ['EPYC-v4', 0x80_0f12],
    ['EPYC-IBPB', 0x80_0f12],
    ['EPYC-Rome-v3', 0x83_0f10],
    ['EPYC-Milan', 0xa0_0f11],
    ['EPYC-Genoa-v1', 0xa1_0f10],
    ['EPYC-Turin', 0xb0_0f00],
  ])('of the CPU model %s has its signature', (name, signature) => {
    expect(cpuSignature(name)).toBe(signature)
  })

  it.each(['', 'epyc', 'EPYC-v', 'EPYC-v0', 'EPYC-Milan-v1-v2', 'constructor', 'Skylake-Server'])(
    'of no CPU model (%s) is refused with the names of those that are known',
    (name) => {
      expect(() => cpuSignature(name)).toThrow(/expected EPYC, EPYC-Rome, .*got/)
    },
  )
})

const firmware = firmwareImage(COMPLETE)
const guest: SnpGuest = { firmware, vcpus: 1, cpuSignature: cpuSignature('EPYC-v4'), guestFeatures: 1n }
const digest = (change: Partial<SnpGuest> = {}) => hex(snpLaunchDigest({ ...guest, ...change }))

function codeOf(work: () => unknown): EvidenceErrorCode | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof EvidenceError) return error.code
    throw error
  }
}

describe('the launch digest of a guest', () => {
  it('is what an independent implementation computes', () => {
    expect(digest()).toBe(
      '62e4c482edcc286247b21795ffd200c359a053d8da4d46f5aa16d79b7009acdb938b48b417da6417d794cb587d2ff16f',
    )
    expect(digest({ vcpus: 3, cpuSignature: cpuSignature('EPYC-Milan-v2'), guestFeatures: 0x21n })).toBe(
      '40ebf783856ea0b9b8cdc3dcc2c25902c848ed9f25f8e24f106119bf2516658aadc3676893bb8ccc9a7e10fb65ed22b9',
    )
    expect(hex(snpFirmwareDigest(firmware))).toBe(
      '59352bb722e8736c93255333e545b23d409b34147f5461fc45f018521104edec1483ef7c4d59024b459c245d6470f195',
    )
  })

  it('is that with the hashes of what is booted directly', () => {
    const kernel = utf8('a kernel')
    const directBoot = { kernel, initrd: utf8('an initial RAM disk'), commandLine: 'ro quiet' }
    expect(digest({ vcpus: 2, cpuSignature: cpuSignature('EPYC-Genoa'), directBoot })).toBe(
      '082134691d6873503d5911cf965568b3c0ae3180eaf1dfb9a35e9dc463ac1fc211ddf1a288809c42edf629622bddc52f',
    )
    expect(digest({ directBoot: { kernel } })).toBe(
      'a5fa59ba6d2e63e75213e6c458f5486f85e903c5268e38404b246ebd1da3200d768f3d2b53221b625ced70425d01edf6',
    )
  })

  it('differs with every part of the guest', () => {
    const kernel = utf8('a kernel')
    const without = { ...COMPLETE, sections: SECTIONS.slice(0, -1) }
    const moved = { ...COMPLETE, sections: [...SECTIONS.slice(0, -1), [0x81_2000, 0x2000, 1] as const] }
    const digests = [
      digest(),
      digest({ vcpus: 2 }),
      digest({ vcpus: 3 }),
      digest({ cpuSignature: guest.cpuSignature + 1 }),
      digest({ guestFeatures: 0x21n }),
      digest({ firmware: firmwareImage({ ...COMPLETE, pages: 3 }) }),
      digest({ firmware: firmwareImage(without) }),
      digest({ firmware: firmwareImage(moved) }),
      digest({ directBoot: { kernel } }),
      digest({ directBoot: { kernel, initrd: kernel } }),
      digest({ directBoot: { kernel, commandLine: 'ro' } }),
      digest({ directBoot: { kernel: utf8('another kernel') } }),
    ]
    expect(new Set(digests).size).toBe(digests.length)
  })

  it('of firmware without metadata is that of its pages and vCPUs', () => {
    const bare = firmwareImage({ resetAddress: 0x80_b004 })
    const pages = hex(snpFirmwareDigest(bare))
    const bsp = vmsaPage({ address: 0xffff_fff0, signature: guest.cpuSignature, features: 1n })
    expect(digest({ firmware: bare })).toBe(link(pages, sha384(bsp), '02', '00f0ffffffff0000'))
  })

  it('is refused for what the firmware can not do, and computed for what it can', () => {
    const { resetAddress: _, ...noReset } = COMPLETE
    const { hashTable: __, ...noTable } = COMPLETE
    const noSection = { ...COMPLETE, sections: SECTIONS.slice(0, 4) }
    const elsewhere = (...hashTable: [number, number]) => firmwareImage({ ...COMPLETE, hashTable })
    const directBoot = { kernel: utf8('a kernel') }
    const unsuitable: Partial<SnpGuest>[] = [
      { firmware: firmwareImage(noReset), vcpus: 2 },
      { firmware: firmwareImage(noTable), directBoot },
      { firmware: firmwareImage(noSection), directBoot },
      { firmware: elsewhere(0x80_0c00, 0x400), directBoot },
      { firmware: elsewhere(0x81_0fff, 0x400), directBoot },
      { firmware: elsewhere(0x81_0c00, 0x10), directBoot },
    ]
    for (const change of unsuitable) {
      expect(codeOf(() => digest(change))).toBe('FIRMWARE_UNSUITABLE')
      expect(codeOf(() => digest({ ...change, vcpus: 1, directBoot: undefined }))).toBeUndefined()
    }
    for (const vcpus of [0, -1, 1.5, 4097]) expect(() => digest({ vcpus })).toThrow(RangeError)
    for (const signature of [-1, 2 ** 32]) {
      expect(() => digest({ cpuSignature: signature })).toThrow(RangeError)
    }
    expect(() => digest({ guestFeatures: 1n << 64n })).toThrow(RangeError)
  })
})

describe('the launch digest of a worker image', () => {
  const image = Uint8Array.from({ length: 10_000 }, (_, at) => (at % 250) + 1)
  const digestOf = (bytes: Uint8Array) => hex(workerLaunchDigest(bytes))

  it('[C-29] is that of firmware which ends at 4 GiB and one vCPU, as an independent implementation has it', () => {
    expect(digestOf(utf8('a worker image'))).toBe(
      '4c287f88bea1527f9cb4c2338b4101575989a83d48ce0532062eac174f6b43d171b581cc8b0896c133187a0479057f0c',
    )
    expect(digestOf(utf8('x'.repeat(PAGE)))).toBe(
      'f6afb56808e8f2d9e7b9f147f732807a848dd35a1b5568f2e0b90b3c86ce9d7ea96a879d158a5f8950e2b59af3d75980',
    )
    expect(digestOf(image)).toBe(
      'ca6ff82d93e14adafe89f35bea201fda8f4f98eb5804ae982755c9991d03b404bff7ee8dde32c2b39001c7b55bba82cf',
    )
  })

  it('[C-29] differs with any byte of the image, and with its length', () => {
    const honest = digestOf(image)
    fc.assert(
      fc.property(fc.nat(image.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        // A last byte of zero is refused instead: see below.
        const changed = image.map((byte, index) => (index === at ? byte ^ change : byte))
        if (changed.at(-1) !== 0) expect(digestOf(changed)).not.toBe(honest)
      }),
    )
    const shorter = Array.from({ length: 100 }, (_, cut) => digestOf(image.subarray(0, image.length - cut)))
    expect(new Set(shorter).size).toBe(shorter.length)
  })

  it('[C-29] differs with the order of its pages, their address and the state of the vCPU', () => {
    const parts = [page(1), page(2)] as const
    const launch = (base: number, contents: readonly Uint8Array[], vcpu: object = {}, vcpus = 1) =>
      chainOf((chain) => {
        chain.addContents(base, new Uint8Array(Buffer.concat(contents)))
        const state = { address: 0xffff_fff0, signature: 0x80_0f12, features: 1n, ...vcpu }
        for (let at = 0; at < vcpus; at++) chain.addVmsa(vmsaPage(state))
      })
    const base = 0xffff_e000
    const honest = launch(base, parts)
    expect(honest).toBe(digestOf(new Uint8Array(Buffer.concat(parts))))
    const others = [
      launch(base, [parts[1], parts[0]]),
      launch(base - PAGE, parts),
      launch(0x10_0000, parts),
      launch(base, parts, { address: 0xffff_ffe0 }),
      launch(base, parts, { address: 0xfff0 }),
      launch(base, parts, { signature: 0xa0_0f11 }),
      launch(base, parts, { features: 0x21n }),
      launch(base, parts, {}, 0),
      launch(base, parts, {}, 2),
    ]
    expect(new Set([honest, ...others]).size).toBe(1 + others.length)
  })

  it('[C-29] is refused for an empty image and for one whose end would look like filling', () => {
    expect(() => workerLaunchDigest(new Uint8Array())).toThrow(RangeError)
    expect(() => workerLaunchDigest(Uint8Array.of(1, 0))).toThrow(RangeError)
    expect(workerLaunchDigest(Uint8Array.of(0, 1))).toHaveLength(48)
  })
})

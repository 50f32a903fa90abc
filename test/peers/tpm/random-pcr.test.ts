// tpm2-tools: random numbers and platform configuration registers.
// Source: TPM 2.0 Library, Part 3, clauses 16 and 22; PC Client Platform TPM Profile 1.05, 4.6 (which PCR resets when).

import { createHash } from 'node:crypto'
import { expect, it } from 'vitest'
import { onEachTpm, type Tools } from './tools.ts'

const BANKS = ['sha1', 'sha256', 'sha384', 'sha512'] as const

const digest = (bank: string, ...parts: readonly Uint8Array[]): string =>
  parts.reduce((hash, part) => hash.update(part), createHash(bank)).digest('hex')

/** What a PCR of zeros holds once each of `digests` was extended. */
const extended = (bank: string, ...digests: readonly string[]): string =>
  digests.reduce(
    (value, next) => digest(bank, Buffer.from(value, 'hex'), Buffer.from(next, 'hex')),
    '00'.repeat(createHash(bank).digest().length),
  )

/** "sha256 16" and its value, as tpm2_pcrread prints them. */
function printed(yaml: string): Record<string, string> {
  const values: Record<string, string> = {}
  let bank = ''
  for (const line of yaml.split('\n')) {
    bank = /^ {2}(\w+):/.exec(line)?.[1] ?? bank
    const [, pcr, value] = /^ {4}(\d+) *: 0x([0-9A-F]+)$/.exec(line) ?? []
    if (pcr !== undefined && value !== undefined) values[`${bank} ${pcr}`] = value.toLowerCase()
  }
  return values
}

const pcr16 = async (t: Tools): Promise<Record<string, string>> =>
  printed(await t.ok(`tpm2_pcrread ${BANKS.map((bank) => `${bank}:16`).join('+')}`))

const valuesOf16 = (value: (bank: string) => string): Record<string, string> =>
  Object.fromEntries(BANKS.map((bank) => [`${bank} 16`, value(bank)]))

onEachTpm((on) => {
  it('tpm2_getrandom, tpm2_stirrandom: as many bytes as asked for, never the same, and no more than a digest', async () => {
    const t = on()
    const first = await t.ok('tpm2_getrandom --hex 32')
    expect(first).toMatch(/^[0-9a-f]{64}$/)
    await t.ok('tpm2_stirrandom', 'more entropy')
    expect(await t.ok('tpm2_getrandom --hex 32')).not.toBe(first)
    await t.ok('tpm2_getrandom -o random 64')
    expect(t.read('random')).toHaveLength(64)
    await t.refused('tpm2_getrandom 65', /bounded by max hash size/)
    t.write('too-much', new Uint8Array(129))
    await t.refused('tpm2_stirrandom too-much', /exceed|bigger|larger|size|128/i)
  })

  it('tpm2_pcrread: all banks, PCR 0 to 16 and 23 zeros, 17 to 22 ones', async () => {
    const t = on()
    const values = printed(await t.ok('tpm2_pcrread -o values'))
    const expected: Record<string, string> = {}
    for (const bank of BANKS) {
      const size = createHash(bank).digest().length
      for (let pcr = 0; pcr < 24; pcr++) {
        expected[`${bank} ${String(pcr)}`] = (pcr >= 17 && pcr <= 22 ? 'ff' : '00').repeat(size)
      }
    }
    expect(values).toEqual(expected)
    expect(t.hex('values')).toBe(Object.values(expected).join(''))
    await t.refused('tpm2_pcrread none-such:0', /Neither algorithm nor pcr list/)
  })

  it('tpm2_pcrextend, tpm2_pcrreset: each bank as computed; what only hardware may reset stays', async () => {
    const t = on()
    const parts = BANKS.map((bank) => `${bank}=${digest(bank, Buffer.from('event'))}`)
    await t.ok(`tpm2_pcrextend 16:${parts.join(',')}`)
    await t.ok(`tpm2_pcrextend 16:${parts.join(',')}`)
    const event = (bank: string): string => digest(bank, Buffer.from('event'))
    expect(await pcr16(t)).toEqual(valuesOf16((bank) => extended(bank, event(bank), event(bank))))

    await t.refused('tpm2_pcrreset 0', 'TPM_RC_LOCALITY')
    await t.ok('tpm2_pcrreset 16')
    expect(await pcr16(t)).toEqual(valuesOf16((bank) => extended(bank)))
    await t.refused(`tpm2_pcrextend 17:sha256=${'11'.repeat(32)}`, 'TPM_RC_LOCALITY')
    await t.refused('tpm2_pcrextend 16:sha256=1111', /digest|size|length/i)
  })

  it('tpm2_pcrevent: small and large events, hashed by the TPM into every bank', async () => {
    const t = on()
    const small = Buffer.from('a small event')
    const large = Buffer.alloc(5000, 'large')
    t.write('small', small)
    t.write('large', large)
    const shown = await t.ok('tpm2_pcrevent 16 small')
    for (const bank of BANKS) expect(shown).toContain(`${bank}: ${digest(bank, small)}`)
    await t.ok('tpm2_pcrevent 16 large')
    expect(await pcr16(t)).toEqual(
      valuesOf16((bank) => extended(bank, digest(bank, small), digest(bank, large))),
    )
    expect(await t.ok('tpm2_pcrevent large')).toContain(`sha384: ${digest('sha384', large)}`)
    await t.refused('tpm2_pcrevent 17 small', 'TPM_RC_LOCALITY')
    await t.refused('tpm2_pcrevent -P wrong 16 small', 'TPM_RC_BAD_AUTH, session 1')
  })

  it('tpm2_pcrallocate: banks change with the next Startup(CLEAR), and only for the platform', async () => {
    const t = on()
    await t.ok('tpm2_pcrallocate sha1:none+sha256:all+sha384:none+sha512:all')
    expect(await t.ok('tpm2_getcap pcrs')).toMatch(/sha1: \[ 0,/)
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    const banks = await t.ok('tpm2_getcap pcrs')
    expect(banks).toMatch(/sha256: \[ 0,[^]*sha512: \[ 0,/)
    expect(banks).not.toMatch(/sha1: \[ 0/)
    expect(Object.keys(printed(await t.ok('tpm2_pcrread sha1:0+sha256:0')))).toEqual(['sha256 0'])

    await t.refused('tpm2_pcrallocate -P wrong sha1:all', 'TPM_RC_BAD_AUTH, session 1')
    await t.ok('tpm2_pcrallocate sha1:all+sha256:all+sha384:all+sha512:all')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    expect(Object.keys(printed(await t.ok('tpm2_pcrread')))).toHaveLength(96)
  })
})

// What differs between two boots: which event is named, which PCRs follow, and what is said about it.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concatBytes, IdentityKey, selfSignedRoot, utf8 } from '../../../../sdk/crypto/index.ts'
import {
  diffEventLogs,
  EV,
  encodeFirmwareBlob,
  encodeTaggedEvent,
  EvidenceError,
  filePathDevicePath,
  type LogComparison,
  pcrPurpose,
  readFirmwareLog,
} from '../../../../sdk/evidence/index.ts'
import { TPM_ALG } from '../../../../sdk/tpm2/index.ts'
import {
  agileLog,
  GLOBAL,
  image,
  le,
  loadOption,
  ovmfLog,
  partitionTable,
  SECURITY,
  separators,
  sha1Log,
  signatureList,
  type Step,
  utf16,
  variable,
} from './logs.ts'

const X509_LIST = 'a5c059a1-94e4-4aa7-87b5-ab155c2bf072'
const SHA256_LIST = 'c1c41626-504c-4092-aca9-41f936934328'
const SHIM = '605dab50-e046-4300-abb6-3dd810dd8b23'
const banks = [TPM_ALG.SHA1, TPM_ALG.SHA256]

const compare = (before: readonly Step[], after: readonly Step[]) =>
  diffEventLogs(readFirmwareLog(agileLog(...before)), readFirmwareLog(agileLog(...after)), banks)

/** The differences in short: "changed 7: meaning". */
const told = ({ differences }: LogComparison) =>
  differences.map(({ kind, pcr, meaning }) => `${kind} ${String(pcr)}: ${meaning}`)
const differing = ({ pcrs }: LogComparison) => [
  ...new Set(pcrs.filter((one) => !one.same).map(({ pcr }) => pcr)),
]

const step = (pcr: number, type: number, data: Uint8Array | string, measured?: string): Step => ({
  pcr,
  type,
  data: typeof data === 'string' ? utf8(data) : data,
  ...(measured === undefined ? {} : { measured: utf8(measured) }),
})
const config = (name: string, data: Uint8Array, owner = GLOBAL) =>
  step(7, EV.EFI_VARIABLE_DRIVER_CONFIG, variable(owner, name, data))
const boot = (name: string, data: Uint8Array) => step(1, EV.EFI_VARIABLE_BOOT, variable(GLOBAL, name, data))
const started = (path: string, content: string, pcr = 4, length?: number) =>
  step(
    pcr,
    EV.EFI_BOOT_SERVICES_APPLICATION,
    image(path === '' ? new Uint8Array() : filePathDevicePath(path), length),
    content,
  )
const blob = (base: bigint, content: string) =>
  step(0, EV.EFI_PLATFORM_FIRMWARE_BLOB, encodeFirmwareBlob({ base, length: 0x1000n }), content)
const order = (...options: readonly number[]) => concatBytes(...options.map((one) => le(2, one)))

function certificate(name: string): Uint8Array {
  return selfSignedRoot({ subject: `CN=${name}`, days: 10, key: IdentityKey.generate() }).der
}
const [maker, owner] = [certificate('Maker CA'), certificate('Owner CA')]
const hash = (octet: number) => new Uint8Array(32).fill(octet)

describe('diffEventLogs', () => {
  it('finds nothing between a boot and itself', () => {
    const log = readFirmwareLog(ovmfLog)
    const found = diffEventLogs(log, log, [TPM_ALG.SHA256])
    expect(found).toMatchObject({ same: true, banks: [TPM_ALG.SHA256], differences: [] })
    expect(found.pcrs.map(({ pcr }) => pcr)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
  })

  it.each<[string, Step, Step, RegExp]>([
    [
      'firmware',
      blob(0x820000n, 'a'),
      blob(0x820000n, 'b'),
      /^changed 0: Firmware code changed: the 0x1000 bytes at 0x820000/,
    ],
    [
      'its version',
      step(0, EV.S_CRTM_VERSION, utf16('1\0')),
      step(0, EV.S_CRTM_VERSION, utf16('2\0')),
      /another version: "1" became "2"/,
    ],
    [
      'Secure Boot',
      config('SecureBoot', le(1, 0)),
      config('SecureBoot', le(1, 1)),
      /Secure Boot was turned on: only what db allows starts/,
    ],
    [
      'Secure Boot, off',
      config('SecureBoot', le(1, 1)),
      config('SecureBoot', le(1, 0)),
      /turned off: anything may start/,
    ],
    [
      'another flag',
      config('DeployedMode', le(1, 0)),
      config('DeployedMode', le(1, 1)),
      /DeployedMode was turned on/,
    ],
    [
      'db',
      config('db', signatureList(X509_LIST, maker), SECURITY),
      config(
        'db',
        concatBytes(signatureList(X509_LIST, owner), signatureList(SHA256_LIST, hash(9))),
        SECURITY,
      ),
      /variable db \(what may start\) changed: added CN=Owner CA \(SHA-256 [0-9a-f]{16}…\), sha256 (09){32}; removed CN=Maker CA/,
    ],
    [
      'dbx',
      config('dbx', signatureList(SHA256_LIST, hash(1)), SECURITY),
      config('dbx', signatureList(SHA256_LIST, ...[1, 2, 3, 4, 5, 6, 7].map(hash)), SECURITY),
      /dbx \(what must not start\) changed: added sha256 .* and 2 more\.$/,
    ],
    [
      'PK',
      config('PK', new Uint8Array()),
      config('PK', signatureList(X509_LIST, owner)),
      /PK \(who owns the Secure Boot policy\) changed: added CN=Owner CA/,
    ],
    [
      'the key that was used',
      step(7, EV.EFI_VARIABLE_AUTHORITY, variable(SECURITY, 'db', concatBytes(hash(0).slice(16), maker))),
      step(7, EV.EFI_VARIABLE_AUTHORITY, variable(SECURITY, 'db', concatBytes(hash(0).slice(16), owner))),
      /Another key let an image start: CN=Owner CA .* instead of CN=Maker CA/,
    ],
    [
      'the revocations of shim',
      step(7, EV.EFI_VARIABLE_AUTHORITY, variable(SHIM, 'SbatLevel', utf8('sbat,1,1\n'))),
      step(7, EV.EFI_VARIABLE_AUTHORITY, variable(SHIM, 'SbatLevel', utf8('sbat,1,2\n'))),
      /SbatLevel\) changed/,
    ],
    [
      'the boot order',
      boot('BootOrder', order(0, 1)),
      boot('BootOrder', order(1, 0)),
      /boot order changed from Boot0000, Boot0001 to Boot0001, Boot0000/,
    ],
    [
      'a boot option',
      boot('Boot0001', loadOption('disk', filePathDevicePath('\\a'))),
      boot('Boot0001', loadOption('disk', filePathDevicePath('\\b'))),
      /Boot option Boot0001 changed: its path \\a became \\b/,
    ],
    [
      'a boot loader',
      started('\\EFI\\a.efi', 'one'),
      started('\\EFI\\a.efi', 'two', 4, 8192),
      /application \\EFI\\a.efi is another one \(4096 bytes, now 8192\)/,
    ],
    [
      'which boot loader',
      started('\\EFI\\a.efi', 'one'),
      started('\\EFI\\b.efi', 'two'),
      /Another boot loader.* was started: \\EFI\\b.efi instead of \\EFI\\a.efi/,
    ],
    [
      'a boot loader of no path',
      started('', 'one'),
      started('', 'two'),
      /from memory \(the log has no path\) is another one/,
    ],
    [
      'an option ROM',
      started('\\a', 'one', 2),
      started('\\a', 'two', 2),
      /driver or option ROM \\a is another one/,
    ],
    [
      'partitions',
      step(5, EV.EFI_GPT_EVENT, partitionTable('0f0f0f0f-0000-0000-0000-000000000001', 'ESP')),
      step(5, EV.EFI_GPT_EVENT, partitionTable('0f0f0f0f-0000-0000-0000-000000000001', 'ESP', 'root')),
      /partition table of the boot disk changed: added "root"/,
    ],
    [
      'the disk',
      step(5, EV.EFI_GPT_EVENT, partitionTable('0f0f0f0f-0000-0000-0000-000000000001')),
      step(5, EV.EFI_GPT_EVENT, partitionTable('0f0f0f0f-0000-0000-0000-000000000002')),
      /Another disk was booted/,
    ],
    [
      'the command line of GRUB',
      step(8, EV.IPL, 'kernel_cmdline: /vmlinuz ro quiet\0'),
      step(8, EV.IPL, 'kernel_cmdline: /vmlinuz ro single\0'),
      /kernel command line changed: added single; removed quiet/,
    ],
    [
      'the command line of systemd',
      step(12, EV.IPL, utf16('ro quiet\0')),
      step(12, EV.IPL, utf16('ro\0')),
      /kernel command line changed: removed quiet/,
    ],
    [
      'a file that GRUB read',
      step(9, EV.IPL, '(hd0)/grub.cfg', 'a'),
      step(9, EV.IPL, '(hd0)/grub.cfg', 'b'),
      /grub.cfg" has other contents/,
    ],
    [
      'which file GRUB read',
      step(9, EV.IPL, '/vmlinuz-1', 'a'),
      step(9, EV.IPL, '/vmlinuz-2', 'b'),
      /read another file: \/vmlinuz-2 instead of \/vmlinuz-1/,
    ],
    [
      'the keys of shim',
      step(14, EV.IPL, 'MokList\0', 'a'),
      step(14, EV.IPL, 'MokList\0', 'b'),
      /shim's MokList changed/,
    ],
    [
      'an initrd',
      step(
        9,
        EV.EVENT_TAG,
        encodeTaggedEvent({ taggedEventID: 0x8f3b22ec, taggedEventData: utf8('Linux initrd\0') }),
        'a',
      ),
      step(
        9,
        EV.EVENT_TAG,
        encodeTaggedEvent({ taggedEventID: 0x8f3b22ec, taggedEventData: utf8('Linux initrd\0') }),
        'b',
      ),
      /Another initial RAM disk was loaded/,
    ],
    [
      'the course of the boot',
      step(4, EV.EFI_ACTION, 'one'),
      step(4, EV.EFI_ACTION, 'two'),
      /another course: "two" instead of "one"/,
    ],
    [
      'microcode',
      step(1, EV.CPU_MICROCODE, 'a'),
      step(1, EV.CPU_MICROCODE, 'b'),
      /microcode of the processor/,
    ],
    [
      'tables',
      step(1, EV.EFI_HANDOFF_TABLES, le(8, 0), 'a'),
      step(1, EV.EFI_HANDOFF_TABLES, le(8, 0), 'b'),
      /table that describes the machine/,
    ],
    [
      'what is not known',
      step(6, EV.COMPACT_HASH, le(4, 0xfffffff1)),
      step(6, EV.COMPACT_HASH, le(4, 0xfffffff2)),
      /EV_COMPACT_HASH \(what the maker of the machine chose\)/,
    ],
    [
      'an error',
      step(3, EV.SEPARATOR, le(4, 0)),
      step(3, EV.SEPARATOR, le(4, 1)),
      /met an error: it closed PCR 3 with 01000000/,
    ],
  ])('says what a change of %s means', (_, before, after, meaning) => {
    const found = compare([before, ...separators], [after, ...separators])
    expect(told(found)).toEqual([expect.stringMatching(meaning)])
    expect(told(found)).toEqual([expect.stringMatching(/^changed/)])
    expect(found.same).toBe(false)
    expect(differing(found)).toEqual([before.pcr])
  })

  it.each<[string, Step, RegExp, RegExp]>([
    [
      'a separator',
      step(4, EV.SEPARATOR, le(4, 0)),
      /without it the firmware never closed this PCR/,
      /it closes what the firmware measures/,
    ],
    ['an application', started('\\tool.efi', 'x'), /it was not started/, /something more was started/],
    [
      'the hand-over',
      step(5, EV.EFI_ACTION, 'Exit Boot Services Invocation'),
      /had not taken over/,
      /system took over/,
    ],
    [
      'an attempt',
      step(4, EV.EFI_ACTION, 'Calling EFI Application from Boot Option'),
      /one boot option less/,
      /one more boot option/,
    ],
    [
      'a boot option',
      boot('Boot0001', loadOption('disk', filePathDevicePath('\\a'))),
      /Boot option Boot0001 "disk" is missing/,
      /is in the second log only/,
    ],
    ['a command of GRUB', step(8, EV.IPL, 'grub_cmd: set a=b\0'), /one command less/, /one command more/],
  ])('says what it means that %s is missing, or came on top', (_, one, without, having) => {
    const rest = [step(one.pcr, EV.ACTION, 'before'), step(one.pcr, EV.ACTION, 'after')]
    const [first, last] = rest as [Step, Step]
    const missing = compare([first, one, last], rest)
    expect(told(missing)).toEqual([expect.stringMatching(without)])
    expect(missing.differences).toMatchObject([{ kind: 'removed', before: { number: 2 }, after: undefined }])
    const added = compare(rest, [first, one, last])
    expect(told(added)).toEqual([expect.stringMatching(having)])
    expect(added.differences).toMatchObject([{ kind: 'added', before: undefined, after: { number: 2 } }])
    expect([differing(missing), differing(added)]).toEqual([[one.pcr], [one.pcr]])
  })

  it('aligns: one event more in the middle is one difference, not many', () => {
    const many = Array.from({ length: 50 }, (_, at) =>
      step(8, EV.IPL, `grub_cmd: insmod module${String(at)}`),
    )
    const extra = step(8, EV.IPL, 'grub_cmd: insmod extra')
    const found = compare(many, many.toSpliced(20, 0, extra))
    expect(found.differences).toMatchObject([{ kind: 'added', pcr: 8, after: { number: 21 } }])
  })

  it('pairs variables by name wherever they stand, and never one with another', () => {
    const [a, b, c] = ['Boot0001', 'Boot0002', 'Boot0003'].map(
      (name) => (text: string) => boot(name, loadOption(text, filePathDevicePath('\\a'))),
    ) as [(text: string) => Step, (text: string) => Step, (text: string) => Step]
    const found = compare([a('old'), b('same')], [b('same'), a('new')])
    expect(found.differences).toMatchObject([
      { kind: 'changed', before: { number: 1 }, after: { number: 2 } },
    ])
    const others = compare([a('x')], [c('y')]).differences.map(({ kind }) => kind)
    expect(others.sort()).toEqual(['added', 'removed'])
  })

  it('tells another order from another measurement', () => {
    const [one, two] = [step(4, EV.ACTION, 'one'), step(4, EV.ACTION, 'two')]
    const found = compare([one, two], [two, one])
    expect(told(found)).toEqual([
      'moved 4: The same was measured in another order; PCR 4 depends on the order.',
    ])
    expect([found.same, differing(found)]).toEqual([false, [4]])
  })

  it('tells what no PCR covers from what one does', () => {
    const here = step(4, EV.EFI_BOOT_SERVICES_APPLICATION, image(filePathDevicePath('\\a'), 1), 'x')
    const there = step(4, EV.EFI_BOOT_SERVICES_APPLICATION, image(filePathDevicePath('\\a'), 2), 'x')
    const explained = compare([here], [there])
    expect(explained).toMatchObject({ same: true, differences: [{ kind: 'explained', measured: false }] })
    const relabelled = compare([step(4, EV.ACTION, 'x')], [step(4, EV.EFI_ACTION, 'x')])
    expect(relabelled).toMatchObject({ same: true, differences: [{ kind: 'relabelled', measured: false }] })
    const exchanged = [step(4, EV.ACTION, 'x'), step(4, EV.IPL, 'x')]
    expect(compare(exchanged, exchanged.toReversed())).toMatchObject({
      same: true,
      differences: [
        { kind: 'relabelled', measured: false },
        { kind: 'relabelled', measured: false },
      ],
    })
    const noted = compare([], [step(0, EV.NO_ACTION, 'a note')])
    expect(noted).toMatchObject({ same: true, differences: [{ kind: 'added', measured: false }] })
  })

  it('counts the locality of the startup: it is where PCR 0 begins', () => {
    const locality = (value: number) =>
      step(0, EV.NO_ACTION, concatBytes(utf8('StartupLocality\0'), le(1, value)))
    const found = compare([locality(0), ...separators], [locality(3), ...separators])
    expect(told(found)).toEqual([expect.stringMatching(/from locality 3 instead of 0/)])
    expect([found.same, differing(found)]).toEqual([false, [0]])
    expect(compare(separators, [locality(3), ...separators]).same).toBe(false)
  })

  it('compares logs of both formats by the bank that both have, and refuses those with none', () => {
    const [agile, old] = [readFirmwareLog(agileLog(...separators)), readFirmwareLog(sha1Log(...separators))]
    expect(diffEventLogs(agile, old, banks)).toMatchObject({ same: true, banks: [TPM_ALG.SHA1] })
    expect(() => diffEventLogs(agile, old, [TPM_ALG.SHA256])).toThrow(EvidenceError)
  })

  it('agrees with the replay, whatever the logs', () => {
    const event = fc.record({
      pcr: fc.constantFrom(0, 4),
      type: fc.constantFrom(EV.ACTION, EV.EFI_ACTION, EV.IPL, EV.SEPARATOR),
      data: fc.uint8Array({ maxLength: 1 }),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 8 }), fc.array(event, { maxLength: 8 }), (before, after) => {
        const found = compare(before, after)
        expect(found.same).toBe(differing(found).length === 0)
        const lost = found.differences.filter(({ kind }) => kind === 'removed').length
        const won = found.differences.filter(({ kind }) => kind === 'added').length
        expect(won - lost).toBe(after.length - before.length)
      }),
      { numRuns: 500 },
    )
  })
})

describe('pcrPurpose', () => {
  it('knows every PCR', () => {
    const purposes = Array.from({ length: 24 }, (_, pcr) => pcrPurpose(pcr))
    expect(purposes).not.toContain('no PCR')
    expect([pcrPurpose(7), pcrPurpose(17), pcrPurpose(23)]).toEqual([
      'Secure Boot policy',
      'dynamic launch',
      'applications',
    ])
  })
})

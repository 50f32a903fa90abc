/**
 * One changed byte of the firmware file: what was sealed before stays closed, a quote is refused, and the event logs of
 * the two boots say which event it was. With the file as it was, all of it is as before.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { builtInFirmware } from '../../emulator/platform/firmware/index.ts'
import { AK_HANDLE } from '../../emulator/platform/templates.ts'
import { appraiseTpm, Refusal } from '../../sdk/attest/index.ts'
import { hex, sha256 } from '../../sdk/crypto/index.ts'
import { selectPcrs, TPM_ALG } from '../../sdk/tpm2/index.ts'
import { ServedBoot } from './support/served-boot.ts'
import { EXIT, Workshop } from './support/tpm-tool.ts'

let workshop: Workshop

beforeAll(async () => {
  workshop = await Workshop.open()
})
afterAll(async () => {
  await workshop.close()
})

describe('a changed byte of the firmware file', () => {
  const image = builtInFirmware()
  const changed = image.map((octet, at) => (at === 100_000 ? octet ^ 1 : octet))
  const known = [{ bank: TPM_ALG.SHA256, pcr: 0, events: [{ digest: hex(sha256(image)) }] }]
  const pcrs = [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])]
  const sealed = () => `${workshop.folder}/sealed`
  const logs: Record<string, string> = {}

  /** Boots the platform with these bytes as firmware file, and takes its power away after `work`. */
  async function booted<T>(
    name: string,
    firmware: Uint8Array,
    work: (boot: ServedBoot) => Promise<T>,
  ): Promise<T> {
    const boot = await ServedBoot.boot(workshop.folder, workshop.file('firmware.fd', firmware))
    logs[name] = workshop.file(`${name}.log`, boot.log)
    try {
      return await work(boot)
    } finally {
      await boot.end()
    }
  }

  /** Whether a verifier that knows the firmware accepts the boot. */
  function judged({ device, log }: ServedBoot): string {
    const qualifyingData = new Uint8Array(32).fill(7)
    const { quoted: attest, signature } = device.quote({
      signHandle: AK_HANDLE,
      qualifyingData,
      pcrSelect: pcrs,
    })
    const akPublic = device.readPublic(AK_HANDLE).outPublic
    try {
      appraiseTpm({ attest, signature, eventLog: log }, { akPublic, qualifyingData, pcrs, references: known })
      return 'accepted'
    } catch (error) {
      if (error instanceof Refusal) return error.code
      throw error
    }
  }

  it('[C-09] [C-02 control] the firmware that was sealed to opens the secret, boot after boot, and is accepted', async () => {
    await booted('first', image, async (boot) => {
      const tpm = workshop.tpm('--tcti', boot.tcti)
      await tpm.says('seal', 'str:a disk key', '--pcrs', 'sha256:0,4,7', '--out', sealed())
      expect(await tpm.says('unseal', sealed())).toBe('a disk key')
      expect(judged(boot)).toBe('accepted')
    })
    await booted('second', image, async (boot) => {
      expect(await workshop.tpm('--tcti', boot.tcti).says('unseal', sealed())).toBe('a disk key')
      expect(judged(boot)).toBe('accepted')
    })
  })

  it('[C-09] [C-02] the changed firmware does not, and is refused by its measurement', async () => {
    await booted('changed', changed, async (boot) => {
      const complaint = await workshop.tpm('--tcti', boot.tcti).fails(EXIT.refused, 'unseal', sealed())
      expect(complaint).toMatch(/TPM_RC_POLICY_FAIL: sha256:0 is not as when the secret was sealed/)
      expect(judged(boot)).toBe('REFUSED_MEASUREMENT')
    })
  })

  it('[C-02 control] and with the file as it was, the secret opens again', async () => {
    await booted('restored', image, async (boot) => {
      expect(await workshop.tpm('--tcti', boot.tcti).says('unseal', sealed())).toBe('a disk key')
      expect(judged(boot)).toBe('accepted')
    })
  })

  it('[C-09] eventlog diff names the firmware event, and nothing else', async () => {
    const diff = (one: string, other: string) =>
      workshop.command.run('eventlog', 'diff', logs[one] ?? '', logs[other] ?? '', '--json')
    const { code, stdout } = await diff('first', 'changed')
    const { differences, differing } = JSON.parse(stdout) as {
      differing: number[]
      differences: {
        kind: string
        pcr: number
        meaning: string
        before: { type: string; digests: { sha256: string } }
      }[]
    }
    expect({ code, differing }).toEqual({ code: EXIT.failed, differing: [0] })
    expect(differences).toMatchObject([
      {
        kind: 'changed',
        pcr: 0,
        before: { type: 'EV_EFI_PLATFORM_FIRMWARE_BLOB', digests: { sha256: hex(sha256(image)) } },
      },
    ])
    expect(differences[0]?.meaning).toMatch(/Firmware code changed/)
    expect(await diff('first', 'restored')).toMatchObject({ code: EXIT.ok })
  })
})

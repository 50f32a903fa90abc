// SEV-SNP launch digests of Debian's OVMF images, as virtee's sev-snp-measure (another implementation, in Python) prints
// them for these very files: QEMU, CPU model EPYC-v4, guest features 0x1.

import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { nodeArguments, packageRoot } from '../../emulator/testbed/index.ts'
import { hex } from '../../sdk/crypto/index.ts'
import {
  cpuSignature,
  readSevFirmware,
  snpFirmwareDigest,
  snpLaunchDigest,
} from '../../sdk/evidence/index.ts'
import { requireFile, requireTool, run } from './tool.ts'

/** The only image of the package that is made for SEV-SNP, and one that is not. */
const SNP = '/usr/share/ovmf/OVMF.fd'
const PLAIN = '/usr/share/OVMF/OVMF_CODE_4M.fd'

const REFERENCES = [
  {
    path: SNP,
    sha256: '7b456907dd0786d415999e801a1ac4637b8ed4d7cf5378cfc6edbe5e574dd773',
    sections: 5,
    firmware:
      'ba2c811512ef868474f239a21f7d7057d65a20de87a003c4f116e4fb1573183bfbcd75c3e99b2f558575a5d0094f73c6',
    launches: [
      '11570979c77a0adb515761a702527c8b9e11554e730552621d950988613a3a75c6ff1703f540bd22a9beede8fe7a97e3',
      'a5b54e62ae971b58274dd24cc6c47b842662617036e7bd67d7326c07ac6363f35399ef933330a5ea160cead90a00603f',
    ],
  },
  {
    path: PLAIN,
    sha256: 'b157d97b1f69729514feb7f201d2cbe4957f23ab77920e361fe9f822ba49ca4c',
    sections: undefined,
    firmware:
      '9fcd8d0a1e49276166981a44bd5487d27508b5f3161c10d316342e56580c498a75420eca6119e10ad6af5849d107345d',
    launches: [
      '68d8e64d29b9823e790b0a4c94d8b6cba4bf4322df2197c09eb0942ed07fe8a0f922ed49fe9fbfb33150e2bd858c8a70',
      'f2479663bf36893aefd555407bbd222a2a0de85f4bc6453c0c7ee28b8261de1f0c252ef606d778afc0ac22fd43df5aef',
    ],
  },
]

const palimpsest = (...args: readonly string[]) =>
  run(packageRoot, process.execPath, ...nodeArguments(['cli', 'main']), ...args)

describe("Debian's OVMF", () => {
  it.for(REFERENCES)(
    '[C-09] $path has the launch digests of another implementation',
    (reference, context) => {
      const path = requireFile(context, 'ovmf', reference.path)
      const [sum] = run(packageRoot, requireTool(context, 'coreutils', 'sha256sum'), path).stdout.split(' ')
      // The references are for one version of the package.
      if (sum !== reference.sha256) context.skip(`needs the ${path} of Debian 12 (ovmf 2022.11-6+deb12u2)`)
      const firmware = new Uint8Array(readFileSync(path))
      const guest = { firmware, cpuSignature: cpuSignature('EPYC-v4'), guestFeatures: 1n }
      expect(hex(snpFirmwareDigest(firmware))).toBe(reference.firmware)
      const launches = [1, 2].map((vcpus) => hex(snpLaunchDigest({ ...guest, vcpus })))
      expect(launches).toEqual(reference.launches)
      expect(readSevFirmware(firmware).sections?.length).toBe(reference.sections)
    },
  )

  it('palimpsest snp-digest prints them; for an image that would not boot so, only when asked to', (context) => {
    const [snp, plain] = [requireFile(context, 'ovmf', SNP), requireFile(context, 'ovmf', PLAIN)]
    const { code, stdout } = palimpsest('snp-digest', snp, '--vcpus', '2', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ bootsAsSnp: true, vcpus: 2 })
    expect(palimpsest('snp-digest', plain)).toMatchObject({ code: 2, stdout: '' })
    const asked = palimpsest('snp-digest', plain, '--without-metadata')
    expect(asked.code).toBe(0)
    expect(asked.stdout).toContain('would not boot as an SEV-SNP guest')
  })
})

// Debian's OVMF as firmware: what is measured is the SHA-256 that sha256sum prints for the file.

import { afterEach, describe, expect, it } from 'vitest'
import { loadFirmware, measureBoot } from '../../emulator/platform/firmware/index.ts'
import { PlatformTpm } from '../../emulator/platform/platform-tpm.ts'
import { hex, utf8 } from '../../sdk/crypto/index.ts'
import { parseEventLog, readBootProfile } from '../../sdk/evidence/index.ts'
import { folderWith, removeFolders, requireFile, requireTool, run } from './tool.ts'

afterEach(removeFolders)

describe('ovmf', () => {
  it.for(['/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/ovmf/OVMF.fd'])(
    '[C-09] boots measured with %s, by the digest of the whole file',
    async (name, context) => {
      const path = requireFile(context, 'ovmf', name)
      const [sum] = run(folderWith({}), requireTool(context, 'coreutils', 'sha256sum'), path).stdout.split(
        ' ',
      )
      const device = PlatformTpm.powerOn()
      const firmware = await loadFirmware(path)
      const { log } = measureBoot({
        device,
        firmware,
        hypervisorImage: utf8('hypervisor'),
        configuration: {},
      })
      expect(hex(readBootProfile(parseEventLog(log.bytes())).firmwareImageDigest)).toBe(sum)
    },
  )
})

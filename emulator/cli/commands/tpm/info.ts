// `palimpsest tpm info`: which TPM this is, what it can do, and what of it is in use.
// Source: TPM 2.0 Library, Part 2, clause 6.13 (TPM_PT) and 8.6 (TPMA_PERMANENT), revision 1.59.

import { Command } from 'commander'
import { bankName } from '../../../../sdk/evidence/index.ts'
import {
  selectedPcrs,
  TPM2_ReadClock,
  TPM_ALG,
  TPM_CAP,
  TPM_ECC,
  TPM_HC,
  TPM_PT,
  TPMA_PERMANENT,
} from '../../../../sdk/tpm2/index.ts'
import { algorithms, handlesFrom, numbers, propertiesFrom } from '../../tpm/capabilities.ts'
import { allocatedPcrs } from '../../tpm/pcrs.ts'
import { onTpm, type TpmFlags, type TpmSession, withTpm } from '../../tpm/session.ts'
import { handleText } from '../../tpm/values.ts'

/** `palimpsest tpm info` */
export function infoCommand(): Command {
  return withTpm(new Command('info'))
    .description('Print which TPM this is, what it can do, and what of it is in use.')
    .action(async (flags: TpmFlags) => {
      await onTpm(flags, async (tpm) => {
        const info = await infoOf(tpm)
        tpm.out.result(info, () => infoLines(info))
      })
    })
}

type Info = Awaited<ReturnType<typeof infoOf>>

async function infoOf({ client }: TpmSession) {
  const fixed = await propertiesFrom(client, TPM_PT.PT_FIXED)
  const variable = await propertiesFrom(client, TPM_PT.PT_VAR)
  const { currentTime } = await client.call(TPM2_ReadClock, {})
  const value = (property: number) => fixed.get(property) ?? variable.get(property) ?? 0
  const texts = (...properties: readonly number[]) =>
    properties.map((one) => fourCharacters(value(one))).join('')
  return {
    family: texts(TPM_PT.FAMILY_INDICATOR),
    level: value(TPM_PT.LEVEL),
    revision: (value(TPM_PT.REVISION) / 100).toFixed(2),
    manufacturer: texts(TPM_PT.MANUFACTURER),
    vendor: texts(
      ...[TPM_PT.VENDOR_STRING_1, TPM_PT.VENDOR_STRING_2, TPM_PT.VENDOR_STRING_3, TPM_PT.VENDOR_STRING_4],
    ),
    firmware: [value(TPM_PT.FIRMWARE_VERSION_1), value(TPM_PT.FIRMWARE_VERSION_2)]
      .map((half) => half.toString(16).padStart(8, '0'))
      .join('.'),
    clockInfo: currentTime.clockInfo,
    banks: (await allocatedPcrs(client)).map((bank) => ({
      bank: bankName(bank.hash),
      pcrs: selectedPcrs(bank).length,
    })),
    algorithms: (await algorithms(client)).map(({ alg }) => nameOf(TPM_ALG, alg)),
    curves: (await numbers(client, TPM_CAP.ECC_CURVES)).map((curve) => nameOf(TPM_ECC, curve)),
    commands: (await numbers(client, TPM_CAP.COMMANDS)).length,
    slots: {
      objects: {
        used: (await handlesFrom(client, TPM_HC.TRANSIENT_FIRST)).map(handleText),
        free: value(TPM_PT.HR_TRANSIENT_AVAIL),
      },
      sessions: {
        loaded: (await handlesFrom(client, TPM_HC.HMAC_SESSION_FIRST)).map(handleText),
        saved: (await handlesFrom(client, TPM_HC.POLICY_SESSION_FIRST)).map(handleText),
        free: value(TPM_PT.HR_LOADED_AVAIL),
      },
      persistent: {
        used: (await handlesFrom(client, TPM_HC.PERSISTENT_FIRST)).map(handleText),
        free: value(TPM_PT.HR_PERSISTENT_AVAIL),
      },
      nvIndices: (await handlesFrom(client, TPM_HC.NV_INDEX_FIRST)).map(handleText),
    },
    permanent: wordsOf(TPMA_PERMANENT, value(TPM_PT.PERMANENT)),
    lockout: {
      failedTries: value(TPM_PT.LOCKOUT_COUNTER),
      maxTries: value(TPM_PT.MAX_AUTH_FAIL),
      intervalSeconds: value(TPM_PT.LOCKOUT_INTERVAL),
      recoverySeconds: value(TPM_PT.LOCKOUT_RECOVERY),
    },
  }
}

/** Four characters in a number, without the zeros that fill it up. */
function fourCharacters(value: number): string {
  const bytes = [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
  return String.fromCharCode(...bytes.filter((octet) => octet >= 0x20 && octet < 0x7f))
}

function nameOf(table: Readonly<Record<string, number>>, value: number): string {
  const [name] = Object.entries(table).find(([, one]) => one === value) ?? [`0x${value.toString(16)}`]
  return name.toLowerCase()
}

function wordsOf(table: Readonly<Record<string, number>>, bits: number): string[] {
  return Object.entries(table)
    .filter(([, bit]) => (bits & bit) !== 0)
    .map(([word]) => word)
}

function infoLines(info: Info): string[] {
  const { slots, clockInfo, lockout } = info
  const list = (handles: readonly string[]) => (handles.length === 0 ? 'none' : handles.join(' '))
  return [
    `TPM          ${info.family} level ${String(info.level)} revision ${info.revision}`,
    `made by      ${[info.manufacturer, info.vendor].filter((text) => text !== '').join(', ')}`,
    `firmware     ${info.firmware}`,
    `clock        ${clockInfo.clock.toString()} ms, ${String(clockInfo.resetCount)} resets, ${String(clockInfo.restartCount)} restarts`,
    `PCR banks    ${info.banks.map(({ bank, pcrs }) => `${bank} (${String(pcrs)})`).join(', ')}`,
    `algorithms   ${info.algorithms.join(' ')}`,
    `curves       ${info.curves.join(' ')}`,
    `commands     ${String(info.commands)}`,
    `objects      ${list(slots.objects.used)}, ${String(slots.objects.free)} free`,
    `sessions     ${list([...slots.sessions.loaded, ...slots.sessions.saved])}, ${String(slots.sessions.free)} free`,
    `persistent   ${list(slots.persistent.used)}, ${String(slots.persistent.free)} free`,
    `NV indices   ${list(slots.nvIndices)}`,
    `permanent    ${list(info.permanent)}`,
    `lockout      ${String(lockout.failedTries)} of ${String(lockout.maxTries)} failed tries`,
  ]
}

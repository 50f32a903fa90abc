// `palimpsest tpm nv`: the NV indices of a TPM, listed, made and removed. What is done with their data is in nv-data.ts.
// Source: TPM 2.0 Library, Part 3, clause 31 (NV storage), revision 1.59.

import { Command, Option } from 'commander'
import { hex } from '../../../../sdk/crypto/index.ts'
import { bankName } from '../../../../sdk/evidence/index.ts'
import {
  digestSize,
  TPM2_NV_DefineSpace,
  TPM2_NV_ReadPublic,
  TPM2_NV_UndefineSpace,
  TPM_ALG,
  TPM_HC,
  TPM_NT,
  TPM_RH,
  TPMA_NV,
  type TPMS_NV_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { handlesFrom } from '../../tpm/capabilities.ts'
import { nvAttributesValue, nvAttributeWords, nvType, nvTypeWord } from '../../tpm/nv-attributes.ts'
import { onTpm, type TpmFlags, withTpm } from '../../tpm/session.ts'
import { AUTH_HELP, authValue, bankWord, handleText } from '../../tpm/values.ts'
import { hexValue, integerValue } from '../../values.ts'
import {
  incrementCommand,
  indexCommand,
  lockCommand,
  type NvFlags,
  NV_NUMBER_SIZE,
  readCommand,
  writeCommand,
} from './nv-data.ts'

/** `palimpsest tpm nv` */
export function nvCommand(): Command {
  return new Command('nv')
    .description('NV indices: small pieces of memory in the TPM, with rules about who may use them.')
    .addCommand(listCommand())
    .addCommand(defineCommand())
    .addCommand(readCommand())
    .addCommand(writeCommand())
    .addCommand(incrementCommand())
    .addCommand(lockCommand())
    .addCommand(undefineCommand())
}

// list

function listCommand(): Command {
  return withTpm(new Command('list'))
    .description('List the NV indices with their attributes.')
    .action(async (flags: TpmFlags) => {
      await onTpm(flags, async ({ client, out }) => {
        const indices: ReturnType<typeof indexJson>[] = []
        for (const nvIndex of await handlesFrom(client, TPM_HC.NV_INDEX_FIRST)) {
          const { nvPublic, nvName } = await client.call(TPM2_NV_ReadPublic, { nvIndex })
          indices.push(indexJson(nvPublic, nvName))
        }
        out.result({ indices }, () =>
          indices.length === 0
            ? ['no NV indices']
            : indices.flatMap((one) => [
                out.strong(one.index),
                `  ${String(one.size)} bytes, ${one.type}, name by ${one.hash}`,
                `  ${one.attributes.join('|')}`,
                ...(one.policy.length === 0 ? [] : [`  policy ${hex(one.policy)}`]),
              ]),
        )
      })
    })
}

function indexJson({ nvIndex, nameAlg, attributes, authPolicy, dataSize }: TPMS_NV_PUBLIC, name: Uint8Array) {
  return {
    index: handleText(nvIndex),
    type: nvTypeWord(attributes),
    size: dataSize,
    hash: bankName(nameAlg),
    attributes: nvAttributeWords(attributes),
    policy: authPolicy,
    name,
  }
}

// define and undefine

interface DefineFlags extends NvFlags {
  readonly size?: number
  readonly attributes: number
  readonly hash: number
  readonly policy?: Uint8Array
}

const DEFAULT_ATTRIBUTES = 'ownerwrite|ownerread|authwrite|authread'

function defineCommand(): Command {
  return indexCommand('define')
    .description('Make an NV index.')
    .addOption(
      new Option('--size <bytes>', 'bytes of data (default: what the kind of index has)').argParser(
        integerValue,
      ),
    )
    .addOption(
      new Option('--attributes <words>', 'who may do what, and which kind of index it is')
        .argParser(nvAttributesValue)
        .default(nvAttributesValue(DEFAULT_ATTRIBUTES), DEFAULT_ATTRIBUTES),
    )
    .addOption(
      new Option('--hash <hash>', 'hash of its name, and of an index that is extended')
        .argParser(bankWord)
        .default(TPM_ALG.SHA256, 'sha256'),
    )
    .addOption(new Option('--policy <hex>', 'digest of its authorization policy').argParser(hexValue))
    .option('--auth <value>', `the authorization value that it gets: ${AUTH_HELP}`)
    .option('--owner-auth <value>', "the owner's authorization value")
    .option('--platform-auth <value>', 'make it as the platform instead, with this authorization value')
    .addHelpText(
      'after',
      `
  palimpsest tpm nv define 0x1500016 --size 32
  palimpsest tpm nv define 0x1500017 --attributes "ownerwrite|authread|nt=counter" --auth file:password`,
    )
    .action(define)
}

async function define(nvIndex: number, flags: DefineFlags): Promise<void> {
  const [newAuth, [authHandle, auth]] = [authValue(flags.auth), provision(flags)]
  const platform = authHandle === TPM_RH.PLATFORM ? TPMA_NV.PLATFORMCREATE : 0
  const attributes = (flags.attributes | platform) >>> 0
  const publicInfo = {
    nvIndex,
    nameAlg: flags.hash,
    attributes,
    authPolicy: flags.policy ?? new Uint8Array(0),
    dataSize: flags.size ?? sizeOf(attributes, flags.hash),
  }
  await onTpm(flags, async (tpm) => {
    const request = { authHandle, auth: newAuth, publicInfo }
    await tpm.authorized(TPM2_NV_DefineSpace, request, { auth, secret: newAuth.length > 0 })
    const { nvPublic, nvName } = await tpm.client.call(TPM2_NV_ReadPublic, { nvIndex })
    tpm.out.result(indexJson(nvPublic, nvName), () => [
      `${handleText(nvIndex)}: ${String(nvPublic.dataSize)} bytes, ${nvTypeWord(attributes)}`,
    ])
  })
}

function sizeOf(attributes: number, hashAlg: number): number {
  switch (nvType(attributes)) {
    case TPM_NT.ORDINARY:
      throw new CommandFailure(EXIT.usage, 'expected --size for an index of ordinary data')
    case TPM_NT.EXTEND:
      return digestSize(hashAlg)
    default:
      return NV_NUMBER_SIZE
  }
}

/** Who makes and removes indices: a handle and its authValue. */
function provision({ ownerAuth, platformAuth }: NvFlags): readonly [number, Uint8Array] {
  return platformAuth === undefined
    ? [TPM_RH.OWNER, authValue(ownerAuth)]
    : [TPM_RH.PLATFORM, authValue(platformAuth)]
}

function undefineCommand(): Command {
  return indexCommand('undefine')
    .description('Remove an NV index, with its data.')
    .option('--owner-auth <value>', `the owner's authorization value: ${AUTH_HELP}`)
    .option('--platform-auth <value>', 'remove it as the platform, with this authorization value')
    .action(async (nvIndex: number, flags: NvFlags) => {
      const [authHandle, auth] = provision(flags)
      await onTpm(flags, async (tpm) => {
        await tpm.authorized(TPM2_NV_UndefineSpace, { authHandle, nvIndex }, { auth })
        const index = handleText(nvIndex)
        tpm.out.result({ index, undefined: true }, () => [`${index} is gone`])
      })
    })
}

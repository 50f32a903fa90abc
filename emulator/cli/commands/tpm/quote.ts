// `palimpsest tpm quote`: PCRs, signed by the TPM for whoever asks.
// Source: TPM 2.0 Library, Part 3, clause 18.4 (TPM2_Quote), revision 1.59.

import { mkdirSync, writeFileSync } from 'node:fs'
import { Command, InvalidArgumentError, Option } from 'commander'
import { equalBytes, hex } from '../../../../sdk/crypto/index.ts'
import { selectionsText } from '../../../../sdk/evidence/index.ts'
import {
  checkAttestationKey,
  marshal,
  pcrDigest,
  TPM2_Quote,
  TPM2_ReadPublic,
  TPM2B_PUBLIC,
  Tpm2Error,
  TPM_ALG,
  TPM_RH,
  TPMS_ATTEST,
  type TPMS_PCR_SELECTION,
  type TPMT_PUBLIC,
  type TPMT_SIG_SCHEME_PLUS,
  TPMT_SIGNATURE_PLUS,
  signatureHash,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { ATTESTATION_KEYS } from '../../tpm/keys.ts'
import { pcrBanks, pcrsJson, type PcrValue, readPcrs } from '../../tpm/pcrs.ts'
import { quotePaths, serializePcrs } from '../../tpm/quote-files.ts'
import { onTpm, type TpmFlags, type TpmSession, withTpm } from '../../tpm/session.ts'
import { AUTH_HELP, authValue, handleText, handleValue, selectionsValue } from '../../tpm/values.ts'
import { hexValue } from '../../values.ts'

interface QuoteFlags extends TpmFlags {
  readonly pcrs: readonly TPMS_PCR_SELECTION[]
  readonly key?: number
  readonly keyType: keyof typeof ATTESTATION_KEYS
  readonly nonce: Uint8Array
  readonly auth?: string
  readonly out?: string
}

/** PCRs may change between the quote and their reading: how often to begin again. */
const ATTEMPTS = 3
/** TPM2B_DATA: a TPMT_HA of the largest hash. */
const MAX_NONCE = 2 + 64

/** `palimpsest tpm quote` */
export function tpmQuoteCommand(): Command {
  return withTpm(new Command('quote'))
    .description('Have the TPM sign PCRs, for "tpm checkquote" or tpm2_checkquote to verify.')
    .addOption(
      new Option('--pcrs <pcrs>', 'like sha256:0,7; + between banks')
        .argParser((text: string) => selectionsValue(text))
        .makeOptionMandatory(),
    )
    .addOption(
      new Option(
        '--nonce <hex>',
        'what the verifier asks to be included, at most 66 bytes; without it nothing is fresh',
      )
        .argParser(nonceValue)
        .default(new Uint8Array(0), 'none'),
    )
    .addOption(
      new Option('--key <handle>', 'persistent attestation key, like 0x81010003').argParser(handleValue),
    )
    .addOption(
      new Option(
        '--key-type <type>',
        'without --key: an attestation key made for this, the same one each time',
      )
        .choices(Object.keys(ATTESTATION_KEYS))
        .default('ecc'),
    )
    .option(
      '--auth <value>',
      `authorization value of --key, or without it of the endorsement hierarchy: ${AUTH_HELP}`,
    )
    .option('--out <folder>', 'write quote.attest, quote.signature, quote.pcrs and ak.public there')
    .addHelpText(
      'after',
      `
Whoever verifies sends a nonce, gets the folder, and has learned ak.public before in a way it trusts:
  palimpsest tpm quote --pcrs sha256:0,7 --nonce 2f0c9a51 --out proof
  palimpsest tpm checkquote proof --nonce 2f0c9a51 --pcrs sha256:0,7 --public trusted-ak.public
  tpm2_checkquote -u proof/ak.public -m proof/quote.attest -s proof/quote.signature -f proof/quote.pcrs -q 2f0c9a51`,
    )
    .action(quote)
}

function nonceValue(text: string): Uint8Array {
  const nonce = hexValue(text)
  if (nonce.length <= MAX_NONCE) return nonce
  throw new InvalidArgumentError(`expected at most ${String(MAX_NONCE)} bytes`)
}

interface Key {
  readonly handle: number
  readonly publicArea: TPMT_PUBLIC
}

async function quote(flags: QuoteFlags): Promise<void> {
  const auth = authValue(flags.auth)
  await onTpm(flags, async (tpm) => {
    const key = await keyOf(tpm, flags, auth)
    const answer = await quoteAndPcrs(tpm, key, flags.key === undefined ? new Uint8Array(0) : auth, flags)
    const attest = unmarshal(TPMS_ATTEST, answer.quoted)
    const signature = marshal(TPMT_SIGNATURE_PLUS, answer.signature)
    const publicArea = marshal(TPM2B_PUBLIC, key.publicArea)
    if (flags.out !== undefined) {
      const paths = quotePaths(flags.out)
      mkdirSync(flags.out, { recursive: true })
      writeFileSync(paths.message, answer.quoted)
      writeFileSync(paths.signature, signature)
      writeFileSync(paths.public, publicArea)
      writeFileSync(paths.pcrs, serializePcrs(flags.pcrs, answer.values))
    }
    const json = {
      pcrs: selectionsText(flags.pcrs),
      values: pcrsJson(answer.values),
      nonce: flags.nonce,
      clockInfo: attest.clockInfo,
      firmwareVersion: attest.firmwareVersion,
      attest: answer.quoted,
      signature,
      public: publicArea,
    }
    tpm.out.result(json, () => [
      `PCRs        ${selectionsText(flags.pcrs)}`,
      `nonce       ${flags.nonce.length === 0 ? 'none: this could be an old quote' : hex(flags.nonce)}`,
      `key         ${flags.key === undefined ? `${flags.keyType}, of the endorsement hierarchy` : handleText(flags.key)}`,
      `clock       ${attest.clockInfo.clock.toString()} ms, ${String(attest.clockInfo.resetCount)} resets`,
      ...(flags.out === undefined
        ? [`attest      ${hex(answer.quoted)}`, `signature   ${hex(signature)}`]
        : [`written to ${flags.out}`]),
    ])
  })
}

async function keyOf(tpm: TpmSession, flags: QuoteFlags, auth: Uint8Array): Promise<Key> {
  if (flags.key === undefined) {
    const made = await tpm.primary(TPM_RH.ENDORSEMENT, ATTESTATION_KEYS[flags.keyType], auth)
    return { handle: made.objectHandle, publicArea: made.outPublic }
  }
  const { outPublic } = await tpm.client.call(TPM2_ReadPublic, { objectHandle: flags.key })
  try {
    checkAttestationKey(outPublic)
  } catch (cause) {
    if (!(cause instanceof Tpm2Error)) throw cause
    const message = `the key ${handleText(flags.key)} is for another use: ${cause.message}`
    throw new CommandFailure(EXIT.usage, message, { cause })
  }
  return { handle: flags.key, publicArea: outPublic }
}

/** A quote, and PCR values that are the quoted ones. */
async function quoteAndPcrs(tpm: TpmSession, key: Key, auth: Uint8Array, flags: QuoteFlags) {
  const request = {
    signHandle: key.handle,
    qualifyingData: flags.nonce,
    inScheme: schemeOf(key.publicArea),
    PCRselect: flags.pcrs,
  }
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const values = await readPcrs(tpm.client, flags.pcrs)
    const { quoted, signature } = await tpm.authorized(TPM2_Quote, request, { auth })
    if (isOf(quoted, signature, flags.pcrs, values)) return { quoted, signature, values }
  }
  throw new CommandFailure(
    EXIT.failed,
    'the PCRs change faster than they can be quoted: run the command again',
  )
}

function isOf(
  quoted: Uint8Array,
  signature: TPMT_SIGNATURE_PLUS,
  selection: readonly TPMS_PCR_SELECTION[],
  values: readonly PcrValue[],
): boolean {
  const { attested } = unmarshal(TPMS_ATTEST, quoted)
  if (!('pcrDigest' in attested) || signature.sigAlg === TPM_ALG.NULL) return false
  return equalBytes(attested.pcrDigest, pcrDigest(selection, pcrBanks(values), signatureHash(signature)))
}

/** A key without a scheme of its own signs as its kind commonly does. */
function schemeOf({ type, nameAlg, parameters }: TPMT_PUBLIC): TPMT_SIG_SCHEME_PLUS {
  if ('scheme' in parameters && parameters.scheme.scheme !== TPM_ALG.NULL) return { scheme: TPM_ALG.NULL }
  return { scheme: type === TPM_ALG.RSA ? TPM_ALG.RSASSA : TPM_ALG.ECDSA, hashAlg: nameAlg }
}

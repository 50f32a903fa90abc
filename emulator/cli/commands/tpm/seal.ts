// `palimpsest tpm seal` and `unseal`: a secret that only this TPM gives back, while PCRs are as they were.
// The secret crosses the socket in a session that is salted for the storage key and encrypts parameters.
// Source: TPM 2.0 Library, Part 1, clauses 19.6 (salted sessions), 19.7 (policies) and 21 (parameter encryption); Part 3,
// clauses 12.1 (TPM2_Create), 12.7 (TPM2_Unseal) and 23 (policies), revision 1.59.

import { Command, Option } from 'commander'
import { equalBytes } from '../../../../sdk/crypto/index.ts'
import { pcrText, selectionsText } from '../../../../sdk/evidence/index.ts'
import {
  type AuthSession,
  startHmacSession,
  startPolicySession,
  TPM2_Create,
  TPM2_Load,
  TPM2_PolicyAuthValue,
  TPM2_PolicyGetDigest,
  TPM2_PolicyPCR,
  TPM2_Unseal,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPMA_OBJECT,
  type TPMS_PCR_SELECTION,
  type TPMT_PUBLIC,
} from '../../../../sdk/tpm2/index.ts'
import { CommandFailure, EXIT } from '../../output.ts'
import { PARAMETER_CIPHER, STORAGE_KEY } from '../../tpm/keys.ts'
import { readPcrs } from '../../tpm/pcrs.ts'
import { refusalOf } from '../../tpm/refusals.ts'
import { readSealed, type Sealed, writeSealed } from '../../tpm/sealed-file.ts'
import { encrypting, onTpm, type TpmFlags, type TpmSession, withTpm } from '../../tpm/session.ts'
import {
  AUTH_HELP,
  authValue,
  DATA_HELP,
  dataValue,
  selectionsValue,
  writePrivate,
} from '../../tpm/values.ts'

const NONE = new Uint8Array(0)
/** MAX_SYM_DATA: what any TPM seals. */
const MOST = 128

interface SealFlags extends TpmFlags {
  readonly pcrs?: readonly TPMS_PCR_SELECTION[]
  readonly auth?: string
  readonly ownerAuth?: string
  readonly out?: string
}

/** `palimpsest tpm seal` */
export function sealCommand(): Command {
  return withTpm(new Command('seal'))
    .description(
      'Seal a secret: only this TPM gives it back, while PCRs are as they are now, or for a password.',
    )
    .argument('<data>', `at most ${String(MOST)} bytes: ${DATA_HELP}`)
    .addOption(
      new Option('--pcrs <pcrs>', 'PCRs that must not change, like sha256:0,7').argParser((text: string) =>
        selectionsValue(text),
      ),
    )
    .option('--auth <value>', `authorization value to ask for: ${AUTH_HELP}`)
    .option('--owner-auth <value>', "the owner's authorization value")
    .requiredOption('--out <file>', 'write the sealed secret there')
    .addHelpText(
      'after',
      `
Others on this machine see a command line while it runs: let the secret come from a file or a pipe.
  head -c 32 /dev/urandom > key
  palimpsest tpm seal file:key --pcrs sha256:7 --out key.sealed && shred -u key
  palimpsest tpm unseal key.sealed --out key

tpm2-tools open it too, under the same storage key:
  jq -r .public key.sealed | xxd -r -p > key.pub; jq -r .private key.sealed | xxd -r -p > key.priv
  head -c 64 /dev/zero | tpm2_createprimary -C o -G ecc256:aes128cfb -u - -c srk.ctx \\
    -a "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|decrypt"
  tpm2_load -C srk.ctx -u key.pub -r key.priv -c key.ctx; tpm2_unseal -c key.ctx -p pcr:sha256:7`,
    )
    .action(seal)
}

async function seal(text: string, flags: SealFlags & { readonly out: string }): Promise<void> {
  const [data, auth, ownerAuth] = [dataValue(text), authValue(flags.auth), authValue(flags.ownerAuth)]
  if (data.length === 0 || data.length > MOST) {
    const advice = 'seal a key, and encrypt the rest with it'
    const found = `found ${String(data.length)}`
    throw new CommandFailure(EXIT.usage, `expected 1 to ${String(MOST)} bytes to seal, ${found}; ${advice}`)
  }
  const pcrs = flags.pcrs ?? []
  await onTpm(flags, async (tpm) => {
    const parent = await tpm.primary(TPM_RH.OWNER, STORAGE_KEY, ownerAuth)
    const values = await readPcrs(tpm.client, pcrs)
    const salt = { handle: parent.objectHandle, key: parent.outPublic }
    const authPolicy = await policyDigest(tpm, pcrs, auth.length > 0)
    const session = await startHmacSession(tpm.client, { symmetric: PARAMETER_CIPHER, salt })
    tpm.keep(session.handle)
    const made = await tpm.client.call(
      TPM2_Create,
      {
        parentHandle: parent.objectHandle,
        inSensitive: { userAuth: auth, data },
        inPublic: templateOf(authPolicy, auth.length > 0),
        outsideInfo: NONE,
        creationPCR: [],
      },
      { sessions: [encrypting(session, TPM2_Create, NONE)] },
    )
    const sealed = {
      parentName: parent.name,
      public: made.outPublic,
      private: made.outPrivate,
      pcrs,
      values,
      auth: auth.length > 0,
    }
    writeSealed(flags.out, sealed)
    const json = { out: flags.out, size: data.length, pcrs: textOrNull(pcrs), auth: sealed.auth }
    tpm.out.result(json, () => [
      `sealed ${String(data.length)} bytes to ${conditionText(sealed)}: ${flags.out}`,
    ])
  })
}

function textOrNull(pcrs: readonly TPMS_PCR_SELECTION[]): string | null {
  return pcrs.length === 0 ? null : selectionsText(pcrs)
}

function conditionText({ pcrs, auth }: Pick<Sealed, 'pcrs' | 'auth'>): string {
  const conditions = [
    'this TPM',
    ...(pcrs.length === 0 ? [] : [`PCRs ${selectionsText(pcrs)}`]),
    ...(auth ? ['the authorization value'] : []),
  ]
  return conditions.join(', ')
}

/** Sealed data: with a policy, that alone opens it; without an authValue there is nothing to guess. */
function templateOf(authPolicy: Uint8Array, auth: boolean): TPMT_PUBLIC {
  const byPolicy = authPolicy.length > 0
  return {
    type: TPM_ALG.KEYEDHASH,
    nameAlg: TPM_ALG.SHA256,
    objectAttributes:
      TPMA_OBJECT.fixedTPM |
      TPMA_OBJECT.fixedParent |
      (byPolicy ? TPMA_OBJECT.adminWithPolicy : TPMA_OBJECT.userWithAuth) |
      (auth ? 0 : TPMA_OBJECT.noDA),
    authPolicy,
    parameters: { scheme: { scheme: TPM_ALG.NULL } },
    unique: NONE,
  }
}

/** Digest of "these PCRs as they are now, and the authValue if there is one"; empty without PCRs. */
async function policyDigest(
  tpm: TpmSession,
  pcrs: readonly TPMS_PCR_SELECTION[],
  auth: boolean,
): Promise<Uint8Array> {
  if (pcrs.length === 0) return NONE
  const trial = await startPolicySession(tpm.client, { trial: true })
  tpm.keep(trial.handle)
  await assertPolicy(tpm, trial, pcrs, auth)
  const { policyDigest } = await tpm.client.call(TPM2_PolicyGetDigest, { policySession: trial.handle })
  await tpm.flush(trial.handle)
  return policyDigest
}

async function assertPolicy(
  tpm: TpmSession,
  { handle: policySession }: AuthSession,
  pcrs: readonly TPMS_PCR_SELECTION[],
  auth: boolean,
): Promise<void> {
  await tpm.client.call(TPM2_PolicyPCR, { policySession, pcrDigest: NONE, pcrs })
  if (auth) await tpm.client.call(TPM2_PolicyAuthValue, { policySession })
}

// unseal

/** `palimpsest tpm unseal` */
export function unsealCommand(): Command {
  return withTpm(new Command('unseal'))
    .description('Give back what "seal" sealed: to standard output as it is, with --json in hexadecimal.')
    .argument('<file>', 'what "seal" wrote')
    .option('--auth <value>', `the authorization value it asks for: ${AUTH_HELP}`)
    .option('--owner-auth <value>', "the owner's authorization value")
    .option('--out <file>', 'write the secret there, readable for you alone')
    .action(unseal)
}

async function unseal(file: string, flags: SealFlags): Promise<void> {
  const [sealed, auth, ownerAuth] = [readSealed(file), authValue(flags.auth), authValue(flags.ownerAuth)]
  if (sealed.auth && flags.auth === undefined) {
    throw new CommandFailure(EXIT.usage, `${file} asks for an authorization value: give it with --auth`)
  }
  await onTpm(flags, async (tpm) => {
    const secret = await open(tpm, file, sealed, auth, ownerAuth)
    const { out } = flags
    if (out !== undefined) {
      writePrivate(out, secret)
      tpm.out.result({ size: secret.length, out }, () => [`written to ${out}`])
    } else if (tpm.out.json) tpm.out.result({ size: secret.length, data: secret }, () => [])
    else process.stdout.write(secret)
  })
}

async function open(
  tpm: TpmSession,
  file: string,
  sealed: Sealed,
  auth: Uint8Array,
  ownerAuth: Uint8Array,
): Promise<Uint8Array> {
  const parent = await tpm.primary(TPM_RH.OWNER, STORAGE_KEY, ownerAuth)
  if (!equalBytes(parent.name, sealed.parentName)) {
    const message = `${file} was sealed by another TPM, or before this one was cleared: its storage key is another`
    throw new CommandFailure(EXIT.refused, message)
  }
  const request = { parentHandle: parent.objectHandle, inPrivate: sealed.private, inPublic: sealed.public }
  const { objectHandle } = await tpm.authorized(TPM2_Load, request)
  tpm.keep(objectHandle)
  // The salt is for the key whose name was just compared: nobody between here and the TPM can put another in its place.
  const start = {
    symmetric: PARAMETER_CIPHER,
    salt: { handle: parent.objectHandle, key: parent.outPublic },
  }
  if (sealed.pcrs.length === 0) {
    const session = await startHmacSession(tpm.client, start)
    tpm.keep(session.handle)
    return unsealWith(tpm, objectHandle, session.use({ auth, encrypt: true }))
  }
  const session = await startPolicySession(tpm.client, start)
  tpm.keep(session.handle)
  await assertPolicy(tpm, session, sealed.pcrs, sealed.auth)
  const use = session.use({ auth, encrypt: true, proof: sealed.auth ? 'hmac' : 'policy' })
  try {
    return await unsealWith(tpm, objectHandle, use)
  } catch (error) {
    if (refusalOf(error) === TPM_RC.POLICY_FAIL) throw await pcrsDiffer(tpm, sealed, error)
    throw error
  }
}

async function unsealWith(
  tpm: TpmSession,
  itemHandle: number,
  use: ReturnType<AuthSession['use']>,
): Promise<Uint8Array> {
  return (await tpm.client.call(TPM2_Unseal, { itemHandle }, { sessions: [use] })).outData
}

/** Which PCRs are not as they were. */
async function pcrsDiffer(tpm: TpmSession, sealed: Sealed, cause: unknown): Promise<CommandFailure> {
  const now = await readPcrs(tpm.client, sealed.pcrs)
  const changed = now.filter(({ bank, pcr, value }) => {
    const before = sealed.values.find((one) => one.bank === bank && one.pcr === pcr)
    return before !== undefined && !equalBytes(before.value, value)
  })
  const which =
    changed.length === 0
      ? 'PCRs are'
      : `${changed.map(pcrText).join(', ')} ${changed.length === 1 ? 'is' : 'are'}`
  const message = `the TPM refused TPM2_Unseal with TPM_RC_POLICY_FAIL: ${which} not as when the secret was sealed`
  return new CommandFailure(EXIT.refused, message, { cause })
}

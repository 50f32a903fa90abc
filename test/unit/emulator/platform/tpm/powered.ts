// A TPM in this process as tests of its core drive it: commands without waiting, power, and what they answer.

import { Tpm, type TpmOptions } from '../../../../../emulator/platform/tpm/index.ts'
import {
  baseCode,
  callDirectly,
  type Command,
  hash,
  passwordSession,
  selectPcrs,
  type SessionUse,
  TPM2_CreatePrimary,
  TPM2_GetRandom,
  TPM2_NV_DefineSpace,
  TPM2_NV_Read,
  TPM2_NV_Write,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_ReadClock,
  TPM2_Shutdown,
  TPM2_Startup,
  TPM_ALG,
  TPM_ECC,
  TPM_RH,
  TPM_SU,
  TPMA_NV,
  TPMA_OBJECT,
  TpmResponseError,
  type TPMS_TIME_INFO,
  type TPMT_PUBLIC,
} from '../../../../../sdk/tpm2/index.ts'

export const NONE = new Uint8Array(0)
const SEED = new Uint8Array(32).fill(0x5e)
/** An ordinary index of the owner. */
export const NV_INDEX = 0x01800001
export const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const STORAGE =
  TPMA_OBJECT.fixedTPM |
  TPMA_OBJECT.fixedParent |
  TPMA_OBJECT.sensitiveDataOrigin |
  TPMA_OBJECT.userWithAuth |
  TPMA_OBJECT.restricted |
  TPMA_OBJECT.decrypt
const common = { nameAlg: TPM_ALG.SHA256, objectAttributes: STORAGE, authPolicy: NONE } as const
const symmetric = { algorithm: TPM_ALG.AES, keyBits: 128, mode: TPM_ALG.CFB } as const

export const ECC_STORAGE: TPMT_PUBLIC = {
  type: TPM_ALG.ECC,
  ...common,
  parameters: {
    symmetric,
    scheme: { scheme: TPM_ALG.NULL },
    curveID: TPM_ECC.NIST_P256,
    kdf: { scheme: TPM_ALG.NULL },
  },
  unique: { x: NONE, y: NONE },
}

export const RSA_STORAGE: TPMT_PUBLIC = {
  type: TPM_ALG.RSA,
  ...common,
  parameters: { symmetric, scheme: { scheme: TPM_ALG.NULL }, keyBits: 2048, exponent: 0 },
  unique: NONE,
}

/** A TPM with power. */
export class Powered {
  readonly tpm: Tpm
  /** of the commands that follow */
  locality = 0

  constructor(options: TpmOptions = {}) {
    this.tpm = new Tpm({ seed: SEED, ...options })
    this.tpm.powerOn()
  }

  /** One after TPM2_Startup(CLEAR). */
  static started(options: TpmOptions = {}): Powered {
    const powered = new Powered(options)
    powered.startup()
    return powered
  }

  call<Q extends object, S extends object>(
    row: Command<Q, S>,
    request: NoInfer<Q>,
    sessions: readonly SessionUse[] = [],
  ): S {
    return callDirectly((command) => this.tpm.execute(command, this.locality), row, request, sessions)
  }

  startup(startupType: number = TPM_SU.CLEAR): void {
    this.call(TPM2_Startup, { startupType })
  }

  shutdown(shutdownType: number = TPM_SU.CLEAR): void {
    this.call(TPM2_Shutdown, { shutdownType })
  }

  random(bytesRequested = 16): Uint8Array {
    return this.call(TPM2_GetRandom, { bytesRequested }).randomBytes
  }

  clock(): TPMS_TIME_INFO {
    return this.call(TPM2_ReadClock, {}).currentTime
  }

  pcr(pcr: number, bank: number = TPM_ALG.SHA256): string {
    const { pcrValues } = this.call(TPM2_PCR_Read, { pcrSelectionIn: [selectPcrs(bank, [pcr])] })
    return Buffer.from(pcrValues[0] ?? NONE).toString('hex')
  }

  extend(pcrHandle: number, text = 'x'): void {
    const digests = [{ hashAlg: TPM_ALG.SHA256, digest: hash(TPM_ALG.SHA256, utf8(text)) }]
    this.call(TPM2_PCR_Extend, { pcrHandle, digests }, [passwordSession()])
  }

  primary(inPublic: TPMT_PUBLIC = ECC_STORAGE, primaryHandle: number = TPM_RH.OWNER) {
    const inSensitive = { userAuth: NONE, data: NONE }
    const request = { primaryHandle, inSensitive, inPublic, outsideInfo: NONE, creationPCR: [] }
    return this.call(TPM2_CreatePrimary, request, [passwordSession()])
  }

  defineNv(dataSize = 8): void {
    const attributes = TPMA_NV.OWNERREAD | TPMA_NV.OWNERWRITE | TPMA_NV.NO_DA
    const publicInfo = { nvIndex: NV_INDEX, nameAlg: TPM_ALG.SHA256, attributes, authPolicy: NONE, dataSize }
    this.call(TPM2_NV_DefineSpace, { authHandle: TPM_RH.OWNER, auth: NONE, publicInfo }, [passwordSession()])
  }

  writeNv(data: Uint8Array): void {
    const request = { authHandle: TPM_RH.OWNER, nvIndex: NV_INDEX, data, offset: 0 }
    this.call(TPM2_NV_Write, request, [passwordSession()])
  }

  readNv(size: number): Uint8Array {
    const request = { authHandle: TPM_RH.OWNER, nvIndex: NV_INDEX, size, offset: 0 }
    return this.call(TPM2_NV_Read, request, [passwordSession()]).data
  }
}

/** The code that a TPM refuses `work` with, without the number of what it points at; undefined when it does not. */
export function rcOf(work: () => unknown): number | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof TpmResponseError) return baseCode(error.rc)
    throw error
  }
}

/** The response code of a response. */
export function responseCode(response: Uint8Array): number {
  return new DataView(response.buffer, response.byteOffset).getUint32(6)
}

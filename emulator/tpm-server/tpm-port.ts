// What a TPM looks like to a server: its command interface and the signals of the platform it sits on. The servers of
// this room know nothing else of a TPM, so any device that has these members can be put on a socket.
// Source: TPM 2.0 Library, Part 1, clause 10 (TPM operational states) and the platform signals that the mssim and
// swtpm protocols carry.

/** Which part of a TPM's state a blob holds, in swtpm's words: its control channel moves them between hosts. */
export type StateKind = 'permanent' | 'volatile' | 'savestate'

/** What a TPM says of itself outside of its commands, as swtpm's GET_INFO gives it to tools that make EK certificates. */
export interface TpmInformation {
  /** The Library specification the TPM follows, e.g. `{ family: '2.0', level: 0, revision: 159 }`. */
  readonly specification: { readonly family: string; readonly level: number; readonly revision: number }
  /** TCG EK credential attributes: `manufacturer` and `version` are of the form "id:" and eight hexadecimal digits. */
  readonly attributes: { readonly manufacturer: string; readonly version: string; readonly model: string }
  /** RSA key sizes in bits. */
  readonly rsaKeySizes: readonly number[]
}

/** A TPM and the signals of its platform. Every member is synchronous, so commands never overlap. */
export interface TpmPort {
  /** One TPM command (Part 3) in, its response out. Never throws; while the power is off the response is empty. */
  execute(command: Uint8Array, locality: number): Uint8Array

  readonly powered: boolean
  /** _TPM_Init; nothing when the power is on already. */
  powerOn(): void
  powerOff(): void
  /** Off and on again; nothing while the power is off. */
  reset(): void

  setPhysicalPresence(on: boolean): void
  setNvAvailable(on: boolean): void
  setCancel(on: boolean): void

  /** _TPM_Hash_Start, _TPM_Hash_Data and _TPM_Hash_End: the dynamic launch at locality 4. */
  hashStart(): void
  hashData(bytes: Uint8Array): void
  hashEnd(): void

  enterFailureMode(): void

  /** TPM_ACCESS.tpmEstablishment, as a bit that is true after a dynamic launch. */
  readonly established: boolean
  /** False when this locality may not clear the bit. */
  resetEstablished(locality: number): boolean

  saveState(kind: StateKind): Uint8Array
  /** Only while the power is off; throws an Error when the bytes are refused. */
  loadState(kind: StateKind, bytes: Uint8Array): void
  /** Makes the state durable. */
  flush(): void

  /** Largest command and response in bytes from now on; called only while the power is off. */
  setBufferSize(bytes: number): void
  readonly information?: TpmInformation
}

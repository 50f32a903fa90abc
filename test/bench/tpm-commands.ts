// TPM commands as bytes, for measuring: built here and not by the library under test, so that both sides get the same
// octets whatever the library does. Source: TPM 2.0 Library, Part 3 (commands) and Part 2 (structures), revision 1.59.

const ST_NO_SESSIONS = 0x8001
const ST_SESSIONS = 0x8002
const RH_OWNER = 0x40000001
const RH_NULL = 0x40000007
const RS_PW = 0x40000009
const ALG_NULL = 0x0010
const ALG_SHA256 = 0x000b
const HEADER = 10

/** fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, restricted, sign: an attestation key. */
const ATTESTATION_KEY = 0x00050072

const u8 = (value: number) => Buffer.of(value)
const u16 = (value: number) => Buffer.of(value >> 8, value & 0xff)
function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
const sized = (...parts: readonly Uint8Array[]) => {
  const bytes = Buffer.concat(parts)
  return Buffer.concat([u16(bytes.length), bytes])
}

function command(code: number, tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([u16(tag), u32(HEADER + body.length), u32(code), body])
}

const plain = (code: number, ...parts: readonly Uint8Array[]) => command(code, ST_NO_SESSIONS, ...parts)

/** A command whose only handle is authorized by the empty password. */
function authorized(code: number, handle: number, ...parameters: readonly Uint8Array[]): Buffer {
  const session = Buffer.concat([u32(RS_PW), u16(0), u8(1), u16(0)])
  return command(code, ST_SESSIONS, u32(handle), u32(session.length), session, ...parameters)
}

/** TPML_PCR_SELECTION of one bank, SHA-256. */
function pcrSelection(pcrs: readonly number[]): Buffer {
  const bits = Buffer.alloc(3)
  for (const pcr of pcrs) bits.writeUInt8(bits.readUInt8(pcr >> 3) | (1 << (pcr & 7)), pcr >> 3)
  return Buffer.concat([u32(1), u16(ALG_SHA256), u8(bits.length), bits])
}

const NINE_PCRS = pcrSelection([0, 1, 2, 3, 4, 5, 6, 7, 8])

export const startup = plain(0x144, u16(0))
export const getRandom = plain(0x17b, u16(32))
/** TPM_CAP_TPM_PROPERTIES from PT_FIXED on. */
export const getFixedProperties = plain(0x17a, u32(6), u32(0x100), u32(127))
/** Nine PCRs are asked for; a TPM answers with eight, as many as TPML_DIGEST holds. */
export const pcrRead = plain(0x17e, NINE_PCRS)
/** Into PCR 16, which is for debugging. */
export const pcrExtend = authorized(0x182, 16, u32(1), u16(ALG_SHA256), Buffer.alloc(32, 0x5a))

export const quote = (key: number) =>
  authorized(0x158, key, sized(Buffer.alloc(20, 0x33)), u16(ALG_NULL), NINE_PCRS)

/** An unsalted, unbound policy session. */
export const startPolicySession = plain(
  0x176,
  u32(RH_NULL),
  u32(RH_NULL),
  sized(Buffer.alloc(32, 0x77)),
  sized(),
  u8(1),
  u16(ALG_NULL),
  u16(ALG_SHA256),
)
export const policyPcr = (session: number) => plain(0x17f, u32(session), sized(), pcrSelection([0, 7]))
export const flush = (handle: number) => plain(0x165, u32(handle))

/** What kind of key: an attestation key that signs with ECDSA on P-256 or with RSASSA-2048, both with SHA-256. */
export type KeyKind = 'P-256' | 'RSA-2048'

/**
 * TPM2_CreatePrimary of an attestation key in the owner hierarchy. `serial` goes into the template's unique field: each
 * serial is another template and so another key, which no cache can have.
 */
export function createPrimary(kind: KeyKind, serial: number): Buffer {
  const unique = Buffer.alloc(32)
  unique.writeUInt32BE(serial, 28)
  const start = [u16(kind === 'P-256' ? 0x0023 : 0x0001), u16(ALG_SHA256), u32(ATTESTATION_KEY), sized()]
  const ecc = [u16(ALG_NULL), u16(0x0018), u16(ALG_SHA256), u16(0x0003), u16(ALG_NULL)]
  const rsa = [u16(ALG_NULL), u16(0x0014), u16(ALG_SHA256), u16(2048), u32(0)]
  const rest = kind === 'P-256' ? [...ecc, sized(unique), sized(unique)] : [...rsa, sized(unique)]
  return authorized(0x131, RH_OWNER, sized(sized(), sized()), sized(...start, ...rest), sized(), u32(0))
}

const RC_RETRY = 0x922

/**
 * Sends a command and returns its response. swtpm now and then answers TPM_RC_RETRY, and clients (tpm2-tss) then send
 * the command again: so does this, and the time counts. @throws Error when the response code is another one than success
 */
export async function ask(
  send: (command: Uint8Array) => Promise<Uint8Array> | Uint8Array,
  what: string,
  bytes: Uint8Array,
): Promise<Buffer> {
  for (;;) {
    const answer = await send(bytes)
    const response = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength)
    const code = response.readUInt32BE(6)
    if (code === 0) return response
    if (code === RC_RETRY) continue
    throw new Error(`${what}: expected TPM_RC_SUCCESS, the TPM answered 0x${code.toString(16)}`)
  }
}

/** The handle that a response begins with. */
export function handleOf(response: Buffer): number {
  return response.readUInt32BE(HEADER)
}

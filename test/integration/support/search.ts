// Searches bytes for secrets in every form in which they usually leak: raw, hexadecimal in both cases, and base64 (both
// alphabets) at all three alignments. Secrets are searched in pieces of 16 bytes, so that a part of one is found too.

const PIECE = 16

interface Needle {
  readonly name: string
  readonly form: string
  readonly bytes: Buffer
}

/** What was found. */
export interface Finding {
  readonly name: string
  readonly form: string
}

/** Secrets to look for; looks for all of them in one pass. */
export class Secrets {
  readonly #byStart = new Map<number, Needle[]>()
  /** Whether some needle begins with these two bytes; most places are ruled out by it. */
  readonly #starts = new Uint8Array(1 << 16)
  #count = 0

  /** Number of pieces that are looked for, in all their forms. */
  get count(): number {
    return this.#count
  }

  /** Adds a secret of at least 16 bytes. */
  add(name: string, secret: Uint8Array): this {
    if (secret.length < PIECE) throw new RangeError('"secret" expected at least 16 bytes')
    for (let from = 0; from + PIECE <= secret.length; from += PIECE) {
      for (const needle of formsOf(name, Buffer.from(secret.subarray(from, from + PIECE))))
        this.#addNeedle(needle)
    }
    return this
  }

  /** Names and forms of the secrets that are in `bytes`, each once. */
  in(bytes: Uint8Array): Finding[] {
    const hay = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const found = new Map<string, Finding>()
    for (let i = 0; i + 4 <= hay.length; i++) {
      if (this.#starts[hay.readUInt16LE(i)] === 0) continue
      for (const { name, form, bytes: needle } of this.#byStart.get(hay.readUInt32LE(i)) ?? []) {
        if (needle.equals(hay.subarray(i, i + needle.length))) found.set(`${name}/${form}`, { name, form })
      }
    }
    return [...found.values()]
  }

  /** Names of the secrets that are in `bytes`. */
  namesIn(bytes: Uint8Array): string[] {
    return [...new Set(this.in(bytes).map(({ name }) => name))]
  }

  #addNeedle(needle: Needle): void {
    const start = needle.bytes.readUInt32LE(0)
    this.#starts[needle.bytes.readUInt16LE(0)] = 1
    this.#byStart.set(start, [...(this.#byStart.get(start) ?? []), needle])
    this.#count += 1
  }
}

function formsOf(name: string, bytes: Buffer): Needle[] {
  const hex = bytes.toString('hex')
  const forms = [
    { form: 'raw', bytes },
    { form: 'hex', bytes: Buffer.from(hex) },
    { form: 'HEX', bytes: Buffer.from(hex.toUpperCase()) },
  ]
  for (const shift of [0, 1, 2]) {
    const text = base64At(bytes, shift)
    forms.push({ form: `base64+${String(shift)}`, bytes: Buffer.from(text) })
    const url = text.replaceAll('+', '-').replaceAll('/', '_')
    if (url !== text) forms.push({ form: `base64url+${String(shift)}`, bytes: Buffer.from(url) })
  }
  return forms.map((form) => ({ name, ...form }))
}

/** The characters that depend on `bytes` alone when `shift` other bytes come before them, whatever comes after. */
function base64At(bytes: Buffer, shift: number): string {
  const text = Buffer.concat([Buffer.alloc(shift), bytes])
    .toString('base64')
    .replace(/=+$/, '')
  const first = Math.ceil((shift * 8) / 6)
  const last = Math.floor(((shift + bytes.length) * 8) / 6)
  return text.slice(first, last)
}

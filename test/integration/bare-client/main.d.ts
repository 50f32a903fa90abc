/** Types of main.js, which is JavaScript because a bare client would be. */

/** A quote as it stands on the wire. */
export interface QuoteBytes {
  readonly attest: Buffer
  readonly signature: Buffer
}

export function verifyQuote(quote: QuoteBytes, akPublic: Buffer, nonce: Buffer): boolean

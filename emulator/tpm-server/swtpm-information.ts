// The text that GET_INFO gives: JSON about the TPM, for the tools that write EK certificates.
// Source: swtpm 0.7.1 and libtpms 0.9.2, observed answers; TCG EK Credential Profile, clause 3.1 (attributes).

import type { TpmInformation } from './tpm-port.ts'

const specification = 1
const attributes = 2
const features = 4

/** What is said of a TPM that says nothing of itself. */
const unknown: TpmInformation = {
  specification: { family: '2.0', level: 0, revision: 159 },
  attributes: { manufacturer: 'id:00000000', version: 'id:00000000', model: 'unknown' },
  rsaKeySizes: [2048],
}

/** The parts that `flags` asks for, as JSON with a final zero byte. Unknown flags ask for nothing. */
export function describeTpm(information: TpmInformation | undefined, flags: number): Uint8Array {
  const known = information ?? unknown
  const text = JSON.stringify({
    ...((flags & specification) !== 0 ? { TPMSpecification: pick(known.specification) } : {}),
    ...((flags & attributes) !== 0 ? { TPMAttributes: pickAttributes(known.attributes) } : {}),
    ...((flags & features) !== 0 ? { TPMFeatures: { RSAKeySizes: known.rsaKeySizes } } : {}),
  })
  return new TextEncoder().encode(`${text}\0`)
}

// The order of the members is that of swtpm's answer, for clients that compare text.
function pick({ family, level, revision }: TpmInformation['specification']): object {
  return { family, level, revision }
}

function pickAttributes({ manufacturer, version, model }: TpmInformation['attributes']): object {
  return { manufacturer, version, model }
}

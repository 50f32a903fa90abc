// What a TPM tells about itself, in as many answers as it takes.
// Source: TPM 2.0 Library, Part 3, clause 30.2 (TPM2_GetCapability), revision 1.59.

import {
  TPM2_GetCapability,
  TPM_CAP,
  type TpmClient,
  type TPMS_ALG_PROPERTY,
} from '../../../sdk/tpm2/index.ts'

/** As many as fit: the TPM gives fewer. */
const MANY = 254

/** All handles from `first` up, of that kind. */
export async function handlesFrom(client: TpmClient, first: number): Promise<number[]> {
  const handles: number[] = []
  for (let property = first; ;) {
    const { moreData, capabilityData } = await client.call(TPM2_GetCapability, {
      capability: TPM_CAP.HANDLES,
      property,
      propertyCount: MANY,
    })
    const found = capabilityData.capability === TPM_CAP.HANDLES ? capabilityData.data : []
    handles.push(...found)
    const last = found.at(-1)
    if (!moreData || last === undefined) return handles
    property = last + 1
  }
}

/** Properties (TPM_PT) of the group that begins at `first`. */
export async function propertiesFrom(client: TpmClient, first: number): Promise<ReadonlyMap<number, number>> {
  const properties = new Map<number, number>()
  for (let property = first; ;) {
    const { moreData, capabilityData } = await client.call(TPM2_GetCapability, {
      capability: TPM_CAP.TPM_PROPERTIES,
      property,
      propertyCount: MANY,
    })
    const found = capabilityData.capability === TPM_CAP.TPM_PROPERTIES ? capabilityData.data : []
    for (const one of found) properties.set(one.property, one.value)
    const last = found.at(-1)
    if (!moreData || last === undefined) return properties
    property = last.property + 1
  }
}

/** One property, or undefined when the TPM does not tell it. */
export async function property(client: TpmClient, name: number): Promise<number | undefined> {
  const { capabilityData } = await client.call(TPM2_GetCapability, {
    capability: TPM_CAP.TPM_PROPERTIES,
    property: name,
    propertyCount: 1,
  })
  const [found] = capabilityData.capability === TPM_CAP.TPM_PROPERTIES ? capabilityData.data : []
  return found?.property === name ? found.value : undefined
}

/** The algorithms. */
export async function algorithms(client: TpmClient): Promise<TPMS_ALG_PROPERTY[]> {
  const all: TPMS_ALG_PROPERTY[] = []
  for (let first = 0; ;) {
    const { moreData, capabilityData } = await client.call(TPM2_GetCapability, {
      capability: TPM_CAP.ALGS,
      property: first,
      propertyCount: MANY,
    })
    const found = capabilityData.capability === TPM_CAP.ALGS ? capabilityData.data : []
    all.push(...found)
    const last = found.at(-1)
    if (!moreData || last === undefined) return all
    first = last.alg + 1
  }
}

/** Numbers of a capability whose list is short: curves and commands. */
export async function numbers(
  client: TpmClient,
  capability: typeof TPM_CAP.ECC_CURVES | typeof TPM_CAP.COMMANDS,
): Promise<number[]> {
  const all: number[] = []
  for (let first = 0; ;) {
    const { moreData, capabilityData } = await client.call(TPM2_GetCapability, {
      capability,
      property: first,
      propertyCount: MANY,
    })
    const found = capabilityData.capability === capability ? capabilityData.data : []
    all.push(...found)
    const last = found.at(-1)
    if (!moreData || last === undefined) return all
    first = (last & 0xffff) + 1
  }
}

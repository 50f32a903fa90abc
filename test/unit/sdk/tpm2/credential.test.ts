// Credentials: what the verifier wraps, only the right EK opens, and only for the right object.

import { describe, expect, it } from 'vitest'
import {
  leftPad,
  makeCredential,
  marshal,
  objectName,
  openCredential,
  TPM_ECC,
  Tpm2Error,
  TPMS_ECC_POINT,
} from '../../../../sdk/tpm2/index.ts'
import { softwareAk, softwareEk } from './software-key.ts'

const secret = Uint8Array.from({ length: 32 }, (_, index) => index + 1)
const name = objectName(softwareAk().akPublic)

describe('credential protection', () => {
  it('the EK opens a credential made for it and for the named key', () => {
    const { ekPublic, agree } = softwareEk()
    const credential = makeCredential({ ekPublic, objectName: name, secret })
    expect(openCredential({ ekPublic, agree, objectName: name, ...credential })).toEqual(secret)
  })

  it('another EK, another name and any changed octet are refused', () => {
    const { ekPublic, agree } = softwareEk()
    const credential = makeCredential({ ekPublic, objectName: name, secret })
    const good = { ekPublic, agree, objectName: name, ...credential }
    const refused = (changes: object) => {
      expect(() => openCredential({ ...good, ...changes })).toThrow(Tpm2Error)
    }

    refused(softwareEk())
    refused({ objectName: objectName(softwareAk().akPublic) })
    for (let index = 0; index < credential.credentialBlob.length; index += 1) {
      refused({
        credentialBlob: credential.credentialBlob.map((octet, at) => (at === index ? octet ^ 1 : octet)),
      })
    }
    refused({ credentialBlob: credential.credentialBlob.slice(0, -1) })
    refused({ secret: credential.secret.slice(0, -1) })
  })

  it('does not multiply the EK with a point that is not on its curve', () => {
    const { ekPublic, agree } = softwareEk()
    const credential = makeCredential({ ekPublic, objectName: name, secret })
    const offCurve = marshal(TPMS_ECC_POINT, { x: new Uint8Array(32).fill(1), y: new Uint8Array(32).fill(2) })
    let asked = false
    const spy = (point: TPMS_ECC_POINT): Uint8Array => {
      asked = true
      return agree(point)
    }
    const open = () =>
      openCredential({ ekPublic, agree: spy, objectName: name, ...credential, secret: offCurve })
    expect(open).toThrow(/expected a point of P-256/)
    expect(asked).toBe(false)
  })

  it('refuses a secret that a digest cannot hold and an EK of another kind', () => {
    const { ekPublic } = softwareEk()
    const make = (length: number) =>
      makeCredential({ ekPublic, objectName: name, secret: new Uint8Array(length) })
    expect(() => make(33)).toThrow(RangeError)
    expect(() => make(33)).toThrow(/expected at most 32 bytes, got length=33/)
    expect(make(32).credentialBlob.length - make(0).credentialBlob.length).toBe(32)
    expect(() => makeCredential({ ekPublic: softwareAk().akPublic, objectName: name, secret })).toThrow(
      /expected AES-CFB as symmetric algorithm/,
    )
    const p384 = { ...ekPublic, parameters: { ...ekPublic.parameters, curveID: TPM_ECC.NIST_P384 } }
    expect(() => makeCredential({ ekPublic: p384, objectName: name, secret })).toThrow(Tpm2Error)
  })

  it('pads integers and refuses those that do not fit', () => {
    expect(leftPad(Uint8Array.of(1, 2), 4)).toEqual(Uint8Array.of(0, 0, 1, 2))
    expect(leftPad(Uint8Array.of(0, 0, 1, 2), 2)).toEqual(Uint8Array.of(1, 2))
    expect(() => leftPad(Uint8Array.of(1, 0, 0), 2)).toThrow(Tpm2Error)
  })
})

// The platform's use of its TPM: deterministic keys, PCRs, quotes that a verifier accepts, credentials, clock and durable
// state. All of it goes through the TPM's command interface.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { BANKS, openTpmStore, PlatformTpm } from '../../../../emulator/platform/platform-tpm.ts'
import { AK_HANDLE, EK_HANDLE } from '../../../../emulator/platform/templates.ts'
import { FileTpmStore, MemoryTpmStore } from '../../../../emulator/platform/tpm/index.ts'
import {
  baseCode,
  callDirectly,
  checkAttestationKey,
  handleName,
  hash,
  makeCredential,
  objectName,
  passwordSession,
  pcrDigest,
  qualifiedName,
  selectedPcrs,
  selectPcrs,
  TPM2_PCR_Event,
  TPM2_PCR_Extend,
  TPM2_PCR_Read,
  TPM2_Startup,
  TPM_ALG,
  TPM_RC,
  TPM_RH,
  TPM_SU,
  TpmResponseError,
  TPMT_PUBLIC,
  unmarshal,
  marshal,
  TPM_CC,
  TPM_RS_PW,
  TPM_ST,
  TPML_PCR_SELECTION,
  TPMS_AUTH_COMMAND,
  UINT16,
  UINT32,
  Writer,
  verifyQuote,
} from '../../../../sdk/tpm2/index.ts'

const seed = new Uint8Array(32).fill(0x5e)
const nonce = new Uint8Array(32).fill(0x0c)
const selection = [selectPcrs(TPM_ALG.SHA256, [0, 4, 7])]

function started(options: { store?: MemoryTpmStore; now?: () => bigint } = {}): PlatformTpm {
  const device = PlatformTpm.powerOn({ seed, ...options })
  device.startup()
  return device
}

const publicAt = (device: PlatformTpm, handle: number): TPMT_PUBLIC =>
  unmarshal(TPMT_PUBLIC, device.readPublic(handle).outPublic)

function rcOf(work: () => unknown): number | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof TpmResponseError) return baseCode(error.rc)
    throw error
  }
}

const sha256Of = (text: string): Map<number, Uint8Array> =>
  new Map([[TPM_ALG.SHA256, hash(TPM_ALG.SHA256, new TextEncoder().encode(text))]])

/** TPM2_PCR_Event. */
const measure = (device: PlatformTpm, pcrHandle: number, eventData: Uint8Array) =>
  callDirectly(device.execute, TPM2_PCR_Event, { pcrHandle, eventData }, [passwordSession()]).digests

/** The answer to a command with one handle and a password, whose parameters no client would marshal. */
function answerTo(device: PlatformTpm, code: number, handle: number, ...parameters: Uint8Array[]): number {
  const bytes = new Writer()
  const size = 27 + parameters.reduce((sum, { length }) => sum + length, 0)
  for (const [word, write] of [
    [TPM_ST.SESSIONS, bytes.uint16.bind(bytes)],
    [size, bytes.uint32.bind(bytes)],
    [code, bytes.uint32.bind(bytes)],
    [handle, bytes.uint32.bind(bytes)],
    [9, bytes.uint32.bind(bytes)],
  ] as const) {
    write(word)
  }
  const area = { nonce: new Uint8Array(0), sessionAttributes: 0, hmac: new Uint8Array(0) }
  TPMS_AUTH_COMMAND.write(bytes, { sessionHandle: TPM_RS_PW, ...area })
  for (const parameter of parameters) bytes.bytes(parameter)
  const response = device.execute(bytes.finish())
  return baseCode(new DataView(response.buffer, response.byteOffset).getUint32(6))
}

const folders: string[] = []

function stateFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'tpm-'))
  folders.push(folder)
  return join(folder, 'sub', 'tpm-state')
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true })
})

describe('keys', () => {
  it('the same seed gives the same EK and AK; another seed gives others', () => {
    const names = (device: PlatformTpm) =>
      [EK_HANDLE, AK_HANDLE].map((handle) => device.readPublic(handle).name)
    expect(names(started())).toEqual(names(started()))
    const other = PlatformTpm.powerOn()
    other.startup()
    expect(names(other)).not.toEqual(names(started()))
    expect(Buffer.from(started().readPublic(EK_HANDLE).name).toString('hex')).toBe(
      '000b251cdf6a3608c67badd04334d7f594e06e7635ecaf921ba78b3078b4bbca1cd4',
    )
  })

  it('the AK is a restricted signing key of the endorsement hierarchy, the EK is template L-2', () => {
    const device = started()
    const ak = publicAt(device, AK_HANDLE)
    expect(() => {
      checkAttestationKey(ak)
    }).not.toThrow()
    const { name, qualifiedName: qualified } = device.readPublic(AK_HANDLE)
    expect(name).toEqual(objectName(ak))
    expect(qualified).toEqual(qualifiedName(handleName(TPM_RH.ENDORSEMENT), ak))
    const ek = publicAt(device, EK_HANDLE)
    expect(ek.objectAttributes).toBe(0x000300b2)
    expect(ek.authPolicy).toHaveLength(32)
  })
})

describe('PCRs', () => {
  it('[C-09] extend as H(PCR ‖ digest) in every bank given (vector of an image of known bytes)', () => {
    const device = started()
    const digests = measure(device, 0, new TextEncoder().encode('emulated-firmware-image-v1'))
    expect(digests.map(({ hashAlg }) => hashAlg)).toEqual(BANKS)
    const { values } = device.pcrRead([selectPcrs(TPM_ALG.SHA256, [0])])
    expect(Buffer.from(values.get(TPM_ALG.SHA256)?.get(0) ?? []).toString('hex')).toBe(
      '0a2ab78b60f048188e8c661de95cb4b35238a1e5cc3e287fe0fa8789edd81b74',
    )
  })

  it('[P-09] can only be extended: no order of extends leads back, and each one counts', () => {
    const device = started()
    const read = () => device.pcrRead(selection)
    const zero = read()
    device.pcrExtend(0, sha256Of('a'))
    const once = read()
    device.pcrExtend(0, new Map([[TPM_ALG.SHA256, new Uint8Array(32)]]))
    const twice = read()
    const seen = [zero, once, twice].map(({ values }) =>
      Buffer.from(pcrDigest(selection, values)).toString('hex'),
    )
    expect(new Set(seen).size).toBe(3)
    expect(twice.pcrUpdateCounter - zero.pcrUpdateCounter).toBe(2)
  })

  it('[P-09] start at their reset values again only after power-on, which the reset count shows', () => {
    const store = new MemoryTpmStore()
    const first = started({ store })
    first.pcrExtend(7, sha256Of('x'))
    expect(
      rcOf(() => {
        first.startup()
      }),
    ).toBe(TPM_RC.INITIALIZE)
    const second = started({ store })
    const all = [
      selectPcrs(
        TPM_ALG.SHA384,
        Array.from({ length: 24 }, (_, pcr) => pcr),
      ),
    ]
    for (const [pcr, value] of second.pcrRead(all).values.get(TPM_ALG.SHA384) ?? []) {
      expect(value).toEqual(new Uint8Array(48).fill(pcr >= 17 && pcr <= 22 ? 0xff : 0))
    }
    expect(second.readClock().clockInfo.resetCount).toBe(first.readClock().clockInfo.resetCount + 1)
  })

  it('are read at most 8 at a time, and only those that exist', () => {
    const device = started()
    const pcrs = Array.from({ length: 24 }, (_, pcr) => pcr)
    const read = (bank: number, wanted: readonly number[]) =>
      callDirectly(device.execute, TPM2_PCR_Read, { pcrSelectionIn: [selectPcrs(bank, wanted)] })
    const answer = read(TPM_ALG.SHA256, pcrs)
    expect(answer.pcrSelectionOut.map(selectedPcrs)).toEqual([[0, 1, 2, 3, 4, 5, 6, 7]])
    expect(answer.pcrValues).toHaveLength(8)
    expect(read(TPM_ALG.SHA1, [0]).pcrValues).toEqual([])
    expect(device.pcrRead([selectPcrs(TPM_ALG.SHA256, pcrs)]).values.get(TPM_ALG.SHA256)?.size).toBe(24)
  })

  it('refuse a PCR that does not exist, a digest of another size and a locality without the right', () => {
    const device = started()
    const extend = (pcr: number, digests = sha256Of('x'), locality = 0) =>
      rcOf(() => {
        const list = [...digests].map(([hashAlg, digest]) => ({ hashAlg, digest }))
        const execute = (command: Uint8Array) => device.tpm.execute(command, locality)
        callDirectly(execute, TPM2_PCR_Extend, { pcrHandle: pcr, digests: list }, [passwordSession()])
      })
    expect(extend(24)).toBe(TPM_RC.VALUE)
    const short = marshal(UINT32, 1)
    const digest = Uint8Array.of(TPM_ALG.SHA256 >> 8, TPM_ALG.SHA256, ...new Uint8Array(31))
    expect(answerTo(device, TPM_CC.PCR_Extend, 0, short, digest)).toBe(TPM_RC.INSUFFICIENT)
    expect(answerTo(device, TPM_CC.PCR_Extend, 0, short, digest, new Uint8Array(2))).toBe(TPM_RC.SIZE)
    expect(extend(17)).toBe(TPM_RC.LOCALITY)
    expect(extend(17, sha256Of('x'), 4)).toBeUndefined()
    const event = (size: number) =>
      answerTo(device, TPM_CC.PCR_Event, TPM_RH.NULL, marshal(UINT16, size), new Uint8Array(size))
    expect(event(1025)).toBe(TPM_RC.SIZE)
    expect(event(1024)).toBe(TPM_RC.SUCCESS)
    expect(device.pcrRead([]).pcrUpdateCounter).toBe(1)
  })
})

describe('quotes', () => {
  it('[C-02 control] verify, and say the PCRs, the nonce and the clock', () => {
    const device = started({ now: () => 5000n })
    device.pcrExtend(4, sha256Of('hypervisor'))
    const { quoted, signature } = device.quote({
      signHandle: AK_HANDLE,
      qualifyingData: nonce,
      pcrSelect: selection,
    })
    const attest = verifyQuote({
      attest: quoted,
      signature,
      akPublic: publicAt(device, AK_HANDLE),
      qualifyingData: nonce,
      expectedSelection: selection,
    })
    expect(attest.attested.pcrDigest).toEqual(pcrDigest(selection, device.pcrRead(selection).values))
    expect(attest.qualifiedSigner).toEqual(device.readPublic(AK_HANDLE).qualifiedName)
    expect(attest.clockInfo).toEqual(device.readClock().clockInfo)
    expect(attest.clockInfo).toMatchObject({ resetCount: 1, restartCount: 0, safe: true })
  })

  it('cover both banks when asked, and nothing of a bank that is not allocated', () => {
    const device = started()
    const both = [selectPcrs(TPM_ALG.SHA256, [0]), selectPcrs(TPM_ALG.SHA384, [7])]
    const akPublic = publicAt(device, AK_HANDLE)
    const verify = (pcrSelect: typeof both, expectedSelection = pcrSelect) => {
      const { quoted, signature } = device.quote({ signHandle: AK_HANDLE, qualifyingData: nonce, pcrSelect })
      return verifyQuote({ attest: quoted, signature, akPublic, qualifyingData: nonce, expectedSelection })
    }
    expect(verify(both).attested.pcrDigest).toEqual(pcrDigest(both, device.pcrRead(both).values))
    const absent = [selectPcrs(TPM_ALG.SHA512, [0])]
    expect(() => verify(absent)).toThrow(/expected a quote of PCRs 0xd:0, found 0xd:/)
  })

  it('refuse the EK, an unknown handle, too much qualifying data and a TPM that is not started', () => {
    const device = started()
    const ask = (change: object) =>
      rcOf(() =>
        device.quote({ signHandle: AK_HANDLE, qualifyingData: nonce, pcrSelect: selection, ...change }),
      )
    expect(ask({})).toBeUndefined()
    // An EK is used by policy alone: a password does not get as far as its being no signing key.
    expect(ask({ signHandle: EK_HANDLE })).toBe(TPM_RC.AUTH_UNAVAILABLE)
    expect(ask({ signHandle: 0x81000000 })).toBe(TPM_RC.HANDLE)
    expect(ask({ qualifyingData: new Uint8Array(66) })).toBeUndefined()
    const tooMuch = [marshal(UINT16, 67), new Uint8Array(67)]
    const rest = [marshal(UINT16, TPM_ALG.NULL), marshal(TPML_PCR_SELECTION, selection)]
    expect(answerTo(device, TPM_CC.Quote, AK_HANDLE, ...tooMuch, ...rest)).toBe(TPM_RC.SIZE)
    const off = PlatformTpm.powerOn()
    expect(rcOf(() => off.readClock())).toBe(TPM_RC.INITIALIZE)
    expect(rcOf(() => off.readPublic(AK_HANDLE))).toBe(TPM_RC.INITIALIZE)
    const startup = (startupType: number, locality: number) =>
      rcOf(() => callDirectly((command) => off.tpm.execute(command, locality), TPM2_Startup, { startupType }))
    expect(startup(TPM_SU.STATE, 0)).toBe(TPM_RC.VALUE)
    expect(startup(TPM_SU.CLEAR, 1)).toBe(TPM_RC.LOCALITY)
    expect(startup(TPM_SU.CLEAR, 0)).toBeUndefined()
  })
})

describe('credentials', () => {
  const secret = new Uint8Array(32).fill(0x11)

  it('made for this EK and this AK are opened', () => {
    const device = started()
    const credential = makeCredential({
      ekPublic: publicAt(device, EK_HANDLE),
      objectName: device.readPublic(AK_HANDLE).name,
      secret,
    })
    const request = { activateHandle: AK_HANDLE, keyHandle: EK_HANDLE, ...credential }
    expect(device.activateCredential(request)).toEqual(secret)
    expect(rcOf(() => device.activateCredential({ ...request, keyHandle: AK_HANDLE }))).toBe(
      TPM_RC.POLICY_FAIL,
    )
    expect(rcOf(() => device.activateCredential({ ...request, secret: new Uint8Array(3) }))).toBe(
      TPM_RC.INSUFFICIENT,
    )
  })

  it('made for another TPM or another key are refused', () => {
    const device = started()
    const other = PlatformTpm.powerOn()
    other.startup()
    const activate = (ekOf: PlatformTpm, name: Uint8Array) => {
      const credential = makeCredential({ ekPublic: publicAt(ekOf, EK_HANDLE), objectName: name, secret })
      return rcOf(() =>
        device.activateCredential({ activateHandle: AK_HANDLE, keyHandle: EK_HANDLE, ...credential }),
      )
    }
    expect(activate(other, device.readPublic(AK_HANDLE).name)).toBe(TPM_RC.INTEGRITY)
    expect(activate(device, other.readPublic(AK_HANDLE).name)).toBe(TPM_RC.INTEGRITY)
  })
})

describe('state', () => {
  it('survives in a file that only its owner reads: same keys, next reset count, a clock that never goes back', () => {
    const path = stateFile()
    let time = 1000n
    const boot = () => {
      const device = PlatformTpm.powerOn({ store: new FileTpmStore(path), now: () => time })
      device.startup()
      return device
    }
    const first = boot()
    time += 200_000n
    const before = first.readClock().clockInfo
    time = 10n
    const second = boot()
    const after = second.readClock().clockInfo
    expect(second.readPublic(EK_HANDLE).name).toEqual(first.readPublic(EK_HANDLE).name)
    expect(after.resetCount).toBe(before.resetCount + 1)
    expect(before.clock).toBeGreaterThanOrEqual(200_000n)
    expect(after.clock).toBeGreaterThanOrEqual(before.clock)
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('a damaged file is refused with advice, never replaced by a new TPM', () => {
    const path = stateFile()
    PlatformTpm.powerOn({ store: new FileTpmStore(path) }).startup()
    const good = readFileSync(path)
    writeFileSync(path, good.subarray(0, good.length - 1))
    const bad = readFileSync(path)
    expect(() => PlatformTpm.powerOn({ store: new FileTpmStore(path) })).toThrow(
      /remove it to make a new TPM/,
    )
    expect(readFileSync(path)).toEqual(bad)
  })

  it('a store that cannot save keeps the TPM from starting', () => {
    const store = new MemoryTpmStore()
    const device = PlatformTpm.powerOn({ store })
    store.save = () => {
      throw new Error('disk full')
    }
    expect(
      rcOf(() => {
        device.startup()
      }),
    ).toBe(TPM_RC.FAILURE)
    expect(rcOf(() => device.readClock())).toBe(TPM_RC.FAILURE)
  })

  it('of an earlier version is refused with advice, never left for a new TPM with another EK', () => {
    const folder = dirname(stateFile())
    mkdirSync(folder)
    expect(() => openTpmStore(folder)).not.toThrow()
    writeFileSync(join(folder, 'tpm.state'), 'old')
    expect(() => openTpmStore(folder)).toThrow(
      /tpm\.state of an earlier version.*remove it to make a new TPM/,
    )
    PlatformTpm.powerOn({ store: FileTpmStore.inFolder(folder) }).startup()
    expect(() => openTpmStore(folder)).not.toThrow()
  })
})

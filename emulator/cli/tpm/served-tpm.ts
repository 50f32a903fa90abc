// A TPM of this package as the servers want it: what swtpm's protocol asks for beyond the device's own interface.

import { statSync } from 'node:fs'
import {
  FileTpmStore,
  FIRMWARE_VERSION,
  MemoryTpmStore,
  RSA_KEY_BITS,
  Tpm,
  type TpmOptions,
} from '../../platform/tpm/index.ts'
import {
  type OpenedTpm,
  type StateKind,
  type StatePlace,
  type TpmInformation,
  type TpmPort,
  type VolatileStore,
} from '../../tpm-server/index.ts'
import { TPM_SPEC } from '../../../sdk/tpm2/index.ts'
import { lockState } from './state-lock.ts'

/** RSA key sizes that tools may ask for, in bits. */
export const SERVED_RSA_KEY_SIZES: readonly number[] = RSA_KEY_BITS.filter((bits) => bits >= 2048)

const INFORMATION: TpmInformation = {
  specification: { family: '2.0', level: TPM_SPEC.LEVEL, revision: TPM_SPEC.VERSION },
  attributes: {
    manufacturer: `id:${Buffer.from('PLMP', 'latin1').toString('hex').toUpperCase()}`,
    version: `id:${(FIRMWARE_VERSION >> 32n).toString(16).padStart(8, '0').toUpperCase()}`,
    model: 'palimpsest',
  },
  rsaKeySizes: SERVED_RSA_KEY_SIZES,
}

/** Puts a TPM behind the interface of the servers. Its state is durable after every command: there is nothing to flush. */
export function tpmPort(tpm: Tpm): TpmPort {
  return {
    execute: (command, locality) => tpm.execute(command, locality),
    get powered() {
      return tpm.powered
    },
    powerOn: () => {
      tpm.powerOn()
    },
    powerOff: () => {
      tpm.powerOff()
    },
    reset: () => {
      tpm.reset()
    },
    setPhysicalPresence: (on) => {
      tpm.setPhysicalPresence(on)
    },
    setNvAvailable: (on) => {
      tpm.setNvAvailable(on)
    },
    setCancel: (on) => {
      tpm.setCancel(on)
    },
    hashStart: () => {
      tpm.hashStart()
    },
    hashData: (bytes) => {
      tpm.hashData(bytes)
    },
    hashEnd: () => {
      tpm.hashEnd()
    },
    enterFailureMode: () => {
      tpm.enterFailureMode()
    },
    get established() {
      return tpm.established
    },
    resetEstablished: (locality) => tpm.resetEstablished(locality),
    saveState: (kind) => (kind === 'savestate' ? new Uint8Array(0) : tpm.saveState(kind)),
    loadState: (kind, bytes) => {
      loadState(tpm, kind, bytes)
    },
    flush: () => undefined,
    setBufferSize: (bytes) => {
      tpm.setBufferSize(bytes)
    },
    information: INFORMATION,
  }
}

/** What TPM 1.2 kept in "savestate" is part of the permanent state of a TPM 2.0. */
function loadState(tpm: Tpm, kind: StateKind, bytes: Uint8Array): void {
  if (kind !== 'savestate') tpm.loadState(kind, bytes)
  else if (bytes.length > 0) throw new Error('expected no savestate blob for a TPM 2.0, found one')
}

function storeAt(place: StatePlace): FileTpmStore {
  const { kind, path, mode } = place
  return kind === 'folder' ? FileTpmStore.inFolder(path, mode) : new FileTpmStore(path, mode)
}

/** Keeps every other process from the TPM of a place, however that one names the place; see lockState(). */
export function lockPlace(place: StatePlace, patience?: number): Promise<() => void> {
  return lockState(storeAt(place).path('permanent'), patience)
}

/** Where a powered TPM's state waits for the next INIT: in a file of its own, beside the one of Tpm.putAside(). */
function storedAt(place: StatePlace): FileTpmStore {
  return new FileTpmStore(`${storeAt(place).path('permanent')}.stored`, place.mode)
}

function volatileStore(place: StatePlace): VolatileStore {
  const stored = storedAt(place)
  return {
    read: () => stored.load('volatile'),
    write: (state) => {
      stored.save('volatile', state)
    },
    remove: () => {
      stored.save('volatile', undefined)
    },
  }
}

/** Opens the TPM of a place, off; null is a TPM without storage. */
export function openTpm(
  place: StatePlace | null,
  options: Omit<TpmOptions, 'store'> = {},
): { readonly tpm: Tpm } & OpenedTpm {
  const tpm = new Tpm({ ...options, store: place === null ? new MemoryTpmStore() : storeAt(place) })
  const opened = { tpm, port: tpmPort(tpm), close: () => undefined }
  return place === null ? opened : { ...opened, volatileStore: volatileStore(place) }
}

/** The states that lie at a place, with swtpm's names for them and their sizes in bytes. */
export function listStates(place: StatePlace): { readonly name: string; readonly size: number }[] {
  return [
    { name: 'permall', path: storeAt(place).path('permanent') },
    { name: 'volatilestate', path: storedAt(place).path('volatile') },
  ].flatMap(({ name, path }) => {
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat === undefined ? [] : [{ name, size: stat.size }]
  })
}

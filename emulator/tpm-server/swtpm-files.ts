// Files that the swtpm program keeps beside the TPM's own state: its log and its process id.

import { closeSync, constants, openSync, rmSync, writeSync } from 'node:fs'
import type { Log } from './protocol.ts'
import { SwtpmError } from './swtpm-options.ts'
import type { LogSettings, PidPlace } from './swtpm-settings.ts'
import { reasonOf } from './wire.ts'

const debugLevel = 5

/** Opens the log. Lines go to `complain` when no file was given. Throws a SwtpmError when it cannot be opened. */
export function openLog(settings: LogSettings, complain: (text: string) => void): Log {
  if (settings.file === null) return () => undefined
  const descriptor = settings.file === undefined ? settings.descriptor : openLogFile(settings.file, settings)
  return (level, text) => {
    if (level === 'debug' && settings.level < debugLevel) return
    const line = `${settings.prefix}${text}\n`
    if (descriptor === undefined) complain(line)
    else writeSync(descriptor, line)
  }
}

function openLogFile(file: string, settings: LogSettings): number {
  try {
    return openSync(file, settings.truncate ? 'w' : 'a', 0o640)
  } catch (error) {
    throw new SwtpmError(`Could not open logfile for writing: ${reasonOf(error)}`)
  }
}

/** Writes the process id; returns what removes it again. Throws a SwtpmError. */
export function writePid(place: PidPlace | null, pid: number): () => void {
  if (place === null) return () => undefined
  if ('descriptor' in place) {
    writeSync(place.descriptor, String(pid))
    closeSync(place.descriptor)
    return () => undefined
  }
  // O_NOFOLLOW: a link left in a folder that others write to must not choose the file that is overwritten.
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW
  try {
    const descriptor = openSync(place.file, flags, 0o644)
    writeSync(descriptor, String(pid))
    closeSync(descriptor)
  } catch (error) {
    throw new SwtpmError(`Could not open pidfile ${place.file} : ${reasonOf(error)}`)
  }
  return () => {
    rmSync(place.file, { force: true })
  }
}

// The demo's end of a VM process: starts it, gives it commands, keeps what it reports.

import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { PluginEvent } from '../../../sdk/plugin/index.ts'
import { PalimpsestError } from '../../../sdk/rpc/index.ts'
import { endProcess, nodeArguments } from '../../testbed/index.ts'
import type { VmCommand, VmLine, VmSetup } from './protocol.ts'

/** An event of a VM's plugin, with the time at which it happened. */
export interface TimedEvent {
  readonly at: number
  readonly event: PluginEvent
}

/** A VM process. */
export class VmHandle {
  readonly events: TimedEvent[] = []
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  #serial = 0

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** Starts the process and resolves when its plugin is attached. */
  static async start(setup: VmSetup): Promise<VmHandle> {
    const child = spawn(process.execPath, nodeArguments(['cli', 'demo', 'vm-process']), {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const handle = new VmHandle(child)
    const lines = createInterface({ input: child.stdout })
    await new Promise<void>((resolve, reject) => {
      child.once('exit', (code, signal) => {
        const gone = new Error(`the process of ${setup.vm} ended with ${String(code ?? signal)}`)
        reject(gone)
        handle.#lost(gone)
      })
      lines.on('line', (line) => {
        handle.#take(JSON.parse(line) as VmLine, resolve)
      })
      child.stdin.write(`${JSON.stringify(setup)}\n`)
    })
    return handle
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Has the VM do something and resolves when it is done. @throws PalimpsestError with the code that the VM met */
  run(command: VmCommand): Promise<void> {
    this.#serial += 1
    const id = this.#serial
    return new Promise<void>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.stdin?.write(`${JSON.stringify({ ...command, id })}\n`)
    })
  }

  close(): Promise<void> {
    return endProcess(this.#child)
  }

  /** Nobody answers any more. */
  #lost(gone: Error): void {
    for (const { reject } of this.#waiting.values()) reject(gone)
    this.#waiting.clear()
  }

  #take(line: VmLine, ready: () => void): void {
    if (line.kind === 'ready') ready()
    else if (line.kind === 'event') this.events.push({ at: line.at, event: line.event })
    else {
      const waiting = this.#waiting.get(line.id)
      this.#waiting.delete(line.id)
      if (line.ok) waiting?.resolve()
      else waiting?.reject(new PalimpsestError('STATE', `${line.code}: ${line.message}`))
    }
  }
}

/**
 * Orderly end of a process: SIGINT or SIGTERM runs the closers in the order in which they were given, once, and then
 * exits. A second signal exits at once.
 */
import { type Logger, silentLogger } from './log.ts'

/** One step of a shutdown. */
export interface Closer {
  /** For the log. */
  readonly name: string
  close(): Promise<void> | void
}

/** How a process ends. */
export interface ShutdownOptions {
  readonly log?: Logger | undefined
  /** Time for all closers together before the process exits anyway, with code 1; default 10 s. */
  readonly timeoutMs?: number
  /** What ends the process; default `process.exit`. */
  readonly exit?: (code: number) => void
}

/** A shutdown that waits for its signal. */
export interface Shutdown {
  /** Starts it now, for example after a fatal error. */
  now(exitCode: number): Promise<void>
  /** Forgets about signals. */
  cancel(): void
}

const signals = ['SIGINT', 'SIGTERM'] as const

/** Installs the signal handlers. A closer that fails is logged and makes the exit code 1; the next ones still run. */
export function onShutdown(closers: readonly Closer[], options: ShutdownOptions = {}): Shutdown {
  const log = options.log ?? silentLogger
  const exit = options.exit ?? process.exit.bind(process)
  let running: Promise<void> | undefined

  async function run(exitCode: number): Promise<void> {
    const timer = setTimeout(() => {
      log.error({ timeoutMs: options.timeoutMs }, 'shutdown took too long')
      exit(1)
    }, options.timeoutMs ?? 10_000)
    timer.unref()
    let code = exitCode
    for (const closer of closers) {
      try {
        await closer.close()
      } catch (error) {
        log.error({ err: error }, `closing ${closer.name} failed`)
        code = 1
      }
    }
    clearTimeout(timer)
    cancel()
    exit(code)
  }

  function now(exitCode: number): Promise<void> {
    running ??= run(exitCode)
    return running
  }

  function onSignal(signal: NodeJS.Signals): void {
    if (running) {
      exit(1)
      return
    }
    log.info({ signal }, 'shutting down')
    void now(0)
  }

  function cancel(): void {
    for (const signal of signals) process.off(signal, onSignal)
  }

  for (const signal of signals) process.on(signal, onSignal)
  return { now, cancel }
}

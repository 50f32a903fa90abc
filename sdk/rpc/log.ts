/**
 * Structured logs (pino). They go to stderr or to a file, never to stdout, which belongs to the command's own output.
 * Requests and responses are never logged; fields that name secrets are redacted wherever they stand one level deep.
 */
import pino from 'pino'

/** Logs one line: fields for programs and a message for people. */
export interface LogFunction {
  (fields: Readonly<Record<string, unknown>>, message: string): void
  (message: string): void
}

/** What the rooms log through; pino's loggers are of this shape, and so can a test's be. */
export interface Logger {
  readonly debug: LogFunction
  readonly info: LogFunction
  readonly warn: LogFunction
  readonly error: LogFunction
  /** A logger whose lines carry these fields as well. */
  child(fields: Readonly<Record<string, unknown>>): Logger
}

/** How much is logged. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Where and how much to log. */
export interface LoggerOptions {
  /** The program, in every line. */
  readonly name: string
  /** Default `info`. */
  readonly level?: LogLevel
  /** Appends to this file instead of writing to stderr. */
  readonly file?: string
}

const secretNames = ['key', 'keys', 'keyPem', 'secret', 'passphrase', 'password', 'plaintext', 'token']
const redact = secretNames.flatMap((name) => [name, `*.${name}`])

/** Makes a logger. Lines are written at once, so that none is lost when the process is killed. */
export function createLogger(options: LoggerOptions): Logger {
  const destination = pino.destination({ dest: options.file ?? 2, sync: true, append: true, mkdir: true })
  const settings = {
    name: options.name,
    level: options.level ?? 'info',
    redact: { paths: redact, censor: '[redacted]' },
    serializers: { err: pino.stdSerializers.errWithCause },
    timestamp: pino.stdTimeFunctions.isoTime,
  }
  return pino(settings, destination)
}

/** Logs nothing. */
export const silentLogger: Logger = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: ignore,
  child: () => silentLogger,
}

function ignore(): void {
  // Nothing is logged.
}

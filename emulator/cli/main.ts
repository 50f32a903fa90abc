#!/usr/bin/env node
// The `palimpsest` command: runs it, and turns errors into exit codes.

import { CommanderError } from 'commander'
import { Refusal } from '../../sdk/attest/index.ts'
import { grpcStatus, errorTable, PalimpsestError } from '../../sdk/rpc/index.ts'
import { CommandFailure, EXIT, type ExitCode } from './output.ts'
import { program } from './program.ts'

/** What an error means for a script. */
function exitCodeOf(error: unknown): ExitCode {
  if (error instanceof CommandFailure) return error.exitCode
  if (error instanceof Refusal) return EXIT.refused
  if (error instanceof PalimpsestError) {
    const { status } = errorTable[error.code]
    if (grpcStatus[status] === grpcStatus.UNAVAILABLE || grpcStatus[status] === grpcStatus.DEADLINE_EXCEEDED)
      return EXIT.unavailable
    return grpcStatus[status] === grpcStatus.INVALID_ARGUMENT ? EXIT.usage : EXIT.refused
  }
  return EXIT.usage
}

/** `palimpsest … | head`: nobody reads on, which is no fault. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit()
}

async function main(): Promise<void> {
  process.stdout.on('error', endWithReader)
  try {
    await program().parseAsync(process.argv)
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage
      return
    }
    process.exitCode = exitCodeOf(error)
    const known = error instanceof PalimpsestError || error instanceof Refusal
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`palimpsest: ${known ? `${error.code}: ` : ''}${text}\n`)
    if (error instanceof PalimpsestError) process.stderr.write(`  ${errorTable[error.code].callerAction}\n`)
  }
}

await main()

/**
 * Backpressure for a stream of messages. grpc-js counts messages, sixteen of which may be 64 MiB each; this counts
 * bytes, and lets go of a sender whose call has ended, for grpc-js then never answers its write.
 */
import type { Buffer } from 'node:buffer'

/** Bytes handed to the transport and not yet taken by it, beyond which a sender waits. */
const maxPendingBytes = 4 * 1024 * 1024
const maxPendingMessages = 64

/** Hands one message to the transport, which calls `done` when it has taken it. */
export type WriteMessage = (bytes: Buffer, done: () => void) => void

/** Sends messages of one stream in order, never too many at once. */
export class PacedSender {
  private readonly write: WriteMessage
  private pendingBytes = 0
  private pendingMessages = 0
  private stopped = false
  private wake: (() => void) | undefined

  constructor(write: WriteMessage) {
    this.write = write
  }

  /** Sends one message and waits while too much is pending. Resolves to false when the call has ended. */
  async send(bytes: Buffer): Promise<boolean> {
    if (this.stopped) return false
    this.pendingBytes += bytes.length
    this.pendingMessages++
    this.write(bytes, () => {
      this.pendingBytes -= bytes.length
      this.pendingMessages--
      this.wake?.()
    })
    while (!this.hasStopped() && this.isFull()) {
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    return !this.hasStopped()
  }

  /** The call has ended: lets a waiting sender go. */
  stop(): void {
    this.stopped = true
    this.wake?.()
  }

  private hasStopped(): boolean {
    return this.stopped
  }

  private isFull(): boolean {
    return this.pendingBytes > maxPendingBytes || this.pendingMessages > maxPendingMessages
  }
}

// A process that tries for a lock, without patience, whenever it is told to, and says whether it has it.

import { lockState } from '../../../../../emulator/cli/tpm/state-lock.ts'

let unlock: (() => void) | undefined

process.on('message', (message: { readonly take?: string }) => {
  if (message.take === undefined) {
    unlock?.()
    unlock = undefined
    process.send?.({ locked: false })
    return
  }
  lockState(message.take, 0).then(
    (give) => {
      unlock = give
      process.send?.({ locked: true })
    },
    () => process.send?.({ locked: false }),
  )
})
process.send?.({ ready: true })

// A VM's identity: the key that its owner made, which signs challenges and grants, with the operator's certificate for
// it, which only opens connections.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { IdentityKey } from '../crypto/index.ts'
import { loadTlsIdentity, type TlsIdentity } from '../rpc/index.ts'

/** An identity ready for use. */
export interface Credentials {
  /** Signs for the VM; the launch report binds its digest. */
  readonly identity: IdentityKey
  /** The same key with the operator's certificate. */
  readonly tls: TlsIdentity
}

/**
 * Loads an identity from a folder that `palimpsest identity create` wrote. A name without a slash is looked for under
 * $PALIMPSEST_IDENTITIES, then in the current folder. Throws when a file is missing or is no key.
 */
export function loadCredentials(nameOrDirectory: string): Credentials {
  const root = process.env['PALIMPSEST_IDENTITIES']
  const named = root === undefined ? undefined : join(root, nameOrDirectory)
  const directory =
    named !== undefined && !nameOrDirectory.includes('/') && existsSync(named) ? named : nameOrDirectory
  const tls = loadTlsIdentity(directory)
  return { identity: IdentityKey.fromPem(tls.keyPem), tls }
}

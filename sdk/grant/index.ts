// Grants: keys of named blocks, sealed to one attested worker and signed by the VM that gives them.

export {
  type EntryTerms,
  type KeyKind,
  type KeyScope,
  keyScopes,
  type KeyUse,
  widestScope,
} from './format.ts'
export { KeyTable } from './key-table.ts'
export { type GrantEntry, type GrantOptions, makeGrants } from './make.ts'
export { checkAgreement, GRANT_LIMIT, openGrant, type OpenedEntry, type OpenedGrant } from './open.ts'

// Every command that works on an object, on an object from outside: as a key, as a parent, as what is certified,
// duplicated or bound to.

import {
  marshal,
  TPM2_ActivateCredential,
  TPM2_ContextSave,
  TPM2_Create,
  TPM2_CreateLoaded,
  TPM2_Duplicate,
  TPM2_EvictControl,
  TPM2_Import,
  TPM2_Load,
  TPM2_MakeCredential,
  TPM2_ObjectChangeAuth,
  TPM2_PolicySecret,
  TPM2_ReadPublic,
  TPM2_Rewrap,
  TPM2_StartAuthSession,
  TPM2_Unseal,
  TPM_RH,
  TPMT_PUBLIC,
  type TPMT_SYM_DEF_OBJECT_PLUS,
} from '../../../../../../sdk/tpm2/index.ts'
import { ECC_STORAGE, NONE, utf8 } from '../powered.ts'
import {
  AES,
  CREATION,
  DATA,
  NO_SYMMETRIC,
  ONE,
  secretOf,
  SENSITIVE,
  SESSION,
  TWO,
  use,
  type Use,
} from './external-bench.ts'
import { KEY_USES } from './external-keys.ts'

const OBJECTS: readonly Use[] = [
  use(TPM2_ReadPublic, ({ handle }) => ({ objectHandle: handle })),
  use(TPM2_MakeCredential, ({ handle, chance }) => ({
    handle,
    credential: chance.bytes(chance.of(0, 3, 16, 20)),
    objectName: chance.bytes(chance.of(0, 2, 34)),
  })),
  ...(['activateHandle', 'keyHandle'] as const).map((place) =>
    use(
      TPM2_ActivateCredential,
      (target) => ({
        activateHandle: target.bench.movable,
        keyHandle: target.bench.parent,
        [place]: target.handle,
        credentialBlob: Uint8Array.from([0, 32, ...new Uint8Array(32), ...utf8('abc')]),
        secret: secretOf(target),
      }),
      TWO,
    ),
  ),
  use(TPM2_Unseal, ({ handle }) => ({ itemHandle: handle }), ONE),
  use(
    TPM2_ObjectChangeAuth,
    ({ bench, handle }) => ({ objectHandle: handle, parentHandle: bench.parent, newAuth: utf8('new') }),
    ONE,
  ),
  use(
    TPM2_ObjectChangeAuth,
    ({ handle }) => ({ objectHandle: handle, parentHandle: handle, newAuth: utf8('new') }),
    ONE,
  ),
  use(TPM2_ContextSave, ({ handle }) => ({ saveHandle: handle })),
  use(
    TPM2_EvictControl,
    ({ handle }) => ({ auth: TPM_RH.OWNER, objectHandle: handle, persistentHandle: 0x81000005 }),
    ONE,
  ),
]

const PARENTS: readonly Use[] = [
  use(
    TPM2_Create,
    ({ handle }) => ({ parentHandle: handle, inSensitive: SENSITIVE, inPublic: DATA, ...CREATION }),
    ONE,
  ),
  use(
    TPM2_CreateLoaded,
    ({ handle, chance }) => ({
      parentHandle: handle,
      inSensitive: chance.of(SENSITIVE, { userAuth: NONE, data: NONE }),
      inPublic: marshal(TPMT_PUBLIC, chance.of(DATA, ECC_STORAGE)),
    }),
    ONE,
  ),
  use(
    TPM2_Load,
    ({ bench, handle }) => ({
      parentHandle: handle,
      inPrivate: bench.wrapped,
      inPublic: bench.wrappedPublic,
    }),
    ONE,
  ),
  use(
    TPM2_Import,
    (target) => ({
      parentHandle: target.handle,
      encryptionKey: NONE,
      objectPublic: target.bench.wrappedPublic,
      duplicate: target.bench.wrapped,
      inSymSeed: secretOf(target),
      symmetricAlg: NO_SYMMETRIC,
    }),
    ONE,
  ),
  ...(['objectHandle', 'newParentHandle'] as const).map((place) =>
    use(
      TPM2_Duplicate,
      ({ bench, handle, chance }) => ({
        objectHandle: bench.movable,
        newParentHandle: bench.parent,
        [place]: handle,
        encryptionKeyIn: NONE,
        symmetricAlg: chance.of<TPMT_SYM_DEF_OBJECT_PLUS>(NO_SYMMETRIC, AES),
      }),
      ({ bench }) => [bench.duplication()],
    ),
  ),
  use(
    TPM2_Rewrap,
    ({ handle }) => ({
      oldParent: TPM_RH.NULL,
      newParent: handle,
      inDuplicate: utf8('data'),
      name: utf8('name'),
      inSymSeed: NONE,
    }),
    ONE,
  ),
  use(
    TPM2_Rewrap,
    (target) => ({
      oldParent: target.handle,
      newParent: TPM_RH.NULL,
      inDuplicate: target.bench.wrapped,
      name: utf8('name'),
      inSymSeed: secretOf(target),
    }),
    ONE,
  ),
]

const SESSIONS: readonly Use[] = [
  use(TPM2_StartAuthSession, (target) => ({
    ...SESSION,
    tpmKey: target.handle,
    bind: target.chance.of(TPM_RH.NULL, target.handle),
    encryptedSalt: secretOf(target),
  })),
  use(TPM2_StartAuthSession, ({ handle }) => ({ ...SESSION, tpmKey: TPM_RH.NULL, bind: handle })),
  use(
    TPM2_PolicySecret,
    ({ bench, handle }) => ({
      authHandle: handle,
      policySession: bench.policySession(),
      nonceTPM: NONE,
      cpHashA: NONE,
      policyRef: NONE,
      expiration: 0,
    }),
    ONE,
  ),
]

/** All uses. */
export const USES: readonly Use[] = [...KEY_USES, ...OBJECTS, ...PARENTS, ...SESSIONS]

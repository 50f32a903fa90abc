// The command tables: what holds for every row, and what the tables say where a mistake would not be seen elsewhere.
// Source: TPM 2.0 Library, Part 3, and Part 2, clauses 8.9 and 9, revision 1.59.

import { describe, expect, it } from 'vitest'
import {
  type AnyCommand,
  authHandles,
  COMMANDS,
  commandAttributes,
  decryptable,
  encryptable,
  handleParameter,
  type HandleType,
  marshal,
  TPM2_ContextLoad,
  TPM2_CreatePrimary,
  TPM2_EncryptDecrypt,
  TPM2_EncryptDecrypt2,
  TPM2_GetCapability,
  TPM2_HierarchyControl,
  TPM2_NV_UndefineSpaceSpecial,
  TPM2_PolicyNV,
  TPM2_Quote,
  TPM2_SequenceComplete,
  TPM2_Sign,
  TPM2_Unseal,
  TPM_CC,
  TPM_RC,
  TPM_RH,
  TPM_RS_PW,
  TPMI_DH_CONTEXT,
  TPMI_DH_ENTITY,
  TPMI_DH_OBJECT,
  TPMI_DH_OBJECT_PLUS,
  TPMI_DH_PARENT,
  TPMI_DH_PCR,
  TPMI_DH_PCR_PLUS,
  TPMI_DH_PERSISTENT,
  TPMI_DH_SAVED,
  TPMI_RH_CLEAR,
  TPMI_RH_ENABLES,
  TPMI_RH_ENDORSEMENT,
  TPMI_RH_HIERARCHY,
  TPMI_RH_HIERARCHY_AUTH,
  TPMI_RH_HIERARCHY_PLUS,
  TPMI_RH_HIERARCHY_POLICY,
  TPMI_RH_LOCKOUT,
  TPMI_RH_NV_AUTH,
  TPMI_RH_NV_INDEX,
  TPMI_RH_PLATFORM,
  TPMI_RH_PROVISION,
  TPMI_SH_AUTH_SESSION,
  TPMI_SH_AUTH_SESSION_PLUS,
  TPMI_SH_HMAC,
  TPMI_SH_POLICY,
  unmarshal,
} from '../../../../sdk/tpm2/index.ts'

const rows = [...COMMANDS.values()]
const short = (row: AnyCommand) => row.name.slice('TPM2_'.length)
const namesWhere = (holds: (row: AnyCommand) => boolean) => rows.filter(holds).map(short)

/** Optional commands of the Library that this TPM does not have. */
const LEFT_OUT = [
  'SetAlgorithmSet',
  'FieldUpgradeStart',
  'FieldUpgradeData',
  'FirmwareRead',
  'AC_GetCapability',
  'AC_Send',
  'Policy_AC_SendSelect',
  'CertifyX509',
  'ACT_SetTimeout',
  'ECC_Encrypt',
  'ECC_Decrypt',
]
/** The later names of HMAC and HMAC_Start. */
const ALIASES = ['MAC', 'MAC_Start']

describe('the command tables', () => {
  it('have every command of the Library but those left out', () => {
    const expected = Object.keys(TPM_CC).filter((name) => ![...LEFT_OUT, ...ALIASES].includes(name))
    expect(rows.map(short).toSorted()).toEqual(expected.toSorted())
  })

  it('are in the order of command codes, each under its own', () => {
    const codes = [...COMMANDS.keys()]
    expect(codes).toEqual(codes.toSorted((a, b) => a - b))
    for (const [code, row] of COMMANDS) expect([row.name, row.code]).toEqual([row.name, code])
    for (const row of rows) expect([row.name, row.code]).toEqual([row.name, Reflect.get(TPM_CC, short(row))])
  })

  it.each(rows.map((row) => [row.name, row] as const))('%s: handles to authorize come first', (_, row) => {
    const roles = row.handles.map(({ value }) => value.auth !== undefined)
    expect(roles.slice(0, authHandles(row))).not.toContain(false)
    expect(roles.slice(authHandles(row))).not.toContain(true)
    expect(row.handles.length).toBeLessThanOrEqual(3)
    expect(row.responseHandles.length).toBeLessThanOrEqual(1)
    if (row.noSessions === true) expect(authHandles(row)).toBe(0)
    const inputs = [...row.handles, ...row.parameters].map(({ name }) => name)
    expect(new Set(inputs).size).toBe(inputs.length)
  })

  it('ask for another role than USER where the authValue alone must not do', () => {
    const others = rows.flatMap((row) =>
      row.handles
        .filter(({ value }) => value.auth !== undefined && value.auth !== 'USER')
        .map(({ name, value }) => `${short(row)} ${name} ${value.auth ?? ''}`),
    )
    expect(others.toSorted()).toEqual([
      'ActivateCredential activateHandle ADMIN',
      'Certify objectHandle ADMIN',
      'Duplicate objectHandle DUP',
      'NV_ChangeAuth nvIndex ADMIN',
      'NV_UndefineSpaceSpecial nvIndex ADMIN',
      'ObjectChangeAuth objectHandle ADMIN',
    ])
  })

  it('know which commands take no sessions, flush much, and end the object they use', () => {
    expect(namesWhere((row) => row.noSessions === true)).toEqual([
      'Startup',
      'ContextLoad',
      'ContextSave',
      'FlushContext',
    ])
    expect(namesWhere((row) => row.extensive === true)).toEqual([
      'HierarchyControl',
      'ChangeEPS',
      'ChangePPS',
      'Clear',
    ])
    expect(namesWhere((row) => row.flushed === true)).toEqual(['SequenceComplete', 'EventSequenceComplete'])
    expect(namesWhere((row) => row.pp === 'required')).toEqual(['PP_Commands'])
    expect(namesWhere((row) => row.pp === 'selectable')).toHaveLength(19)
  })

  it('say as TPMA_CC what the Library says', () => {
    const attributes = [
      TPM2_NV_UndefineSpaceSpecial,
      TPM2_HierarchyControl,
      TPM2_CreatePrimary,
      TPM2_SequenceComplete,
      TPM2_PolicyNV,
      TPM2_Quote,
      TPM2_ContextLoad,
      TPM2_GetCapability,
    ].map(commandAttributes)
    expect(attributes).toEqual([
      0x0440011f, 0x02c00121, 0x12000131, 0x0300013e, 0x06000149, 0x02000158, 0x10000161, 0x0000017a,
    ])
  })

  it('encrypt first parameters that are a TPM2B, and no others', () => {
    expect([TPM2_CreatePrimary, TPM2_EncryptDecrypt2, TPM2_Quote].every(decryptable)).toBe(true)
    expect([TPM2_Unseal, TPM2_EncryptDecrypt, TPM2_GetCapability].some(decryptable)).toBe(false)
    expect([TPM2_Unseal, TPM2_EncryptDecrypt, TPM2_Quote].every(encryptable)).toBe(true)
    expect([TPM2_Sign, TPM2_GetCapability, TPM2_PolicyNV].some(encryptable)).toBe(false)
  })
})

/** One handle of each kind, by its name here. */
const KINDS = {
  pcr0: 0,
  pcr23: 23,
  nvIndex: 0x01c00002,
  hmac: 0x02000000,
  policy: 0x03000001,
  owner: TPM_RH.OWNER,
  endorsement: TPM_RH.ENDORSEMENT,
  platform: TPM_RH.PLATFORM,
  lockout: TPM_RH.LOCKOUT,
  platformNv: TPM_RH.PLATFORM_NV,
  null: TPM_RH.NULL,
  password: TPM_RS_PW,
  vendorAuth: TPM_RH.AUTH_00,
  act: TPM_RH.ACT_0,
  transient: 0x80000000,
  sequenceMark: 0x80000001,
  persistent: 0x81010001,
} as const
type Kind = keyof typeof KINDS

const TYPES: readonly (readonly [HandleType, readonly Kind[]])[] = [
  [TPMI_DH_OBJECT, ['transient', 'sequenceMark', 'persistent']],
  [TPMI_DH_OBJECT_PLUS, ['null', 'transient', 'sequenceMark', 'persistent']],
  [TPMI_DH_PARENT, ['owner', 'endorsement', 'platform', 'transient', 'sequenceMark', 'persistent']],
  [TPMI_DH_PERSISTENT, ['persistent']],
  [
    TPMI_DH_ENTITY,
    [
      ...(['pcr0', 'pcr23', 'nvIndex', 'owner', 'endorsement', 'platform', 'lockout'] as const),
      ...(['vendorAuth', 'transient', 'sequenceMark', 'persistent'] as const),
    ],
  ],
  [TPMI_DH_PCR, ['pcr0', 'pcr23']],
  [TPMI_DH_PCR_PLUS, ['pcr0', 'pcr23', 'null']],
  [TPMI_SH_AUTH_SESSION, ['hmac', 'policy']],
  [TPMI_SH_AUTH_SESSION_PLUS, ['hmac', 'policy', 'password']],
  [TPMI_SH_HMAC, ['hmac']],
  [TPMI_SH_POLICY, ['policy']],
  [TPMI_DH_CONTEXT, ['hmac', 'policy', 'transient', 'sequenceMark']],
  [TPMI_DH_SAVED, ['hmac', 'policy', 'transient', 'sequenceMark']],
  [TPMI_RH_HIERARCHY, ['owner', 'endorsement', 'platform']],
  [TPMI_RH_HIERARCHY_PLUS, ['owner', 'endorsement', 'platform', 'null']],
  [TPMI_RH_ENABLES, ['owner', 'endorsement', 'platform', 'platformNv']],
  [TPMI_RH_HIERARCHY_AUTH, ['owner', 'endorsement', 'platform', 'lockout']],
  [TPMI_RH_HIERARCHY_POLICY, ['owner', 'endorsement', 'platform', 'lockout', 'act']],
  [TPMI_RH_PLATFORM, ['platform']],
  [TPMI_RH_ENDORSEMENT, ['endorsement']],
  [TPMI_RH_PROVISION, ['owner', 'platform']],
  [TPMI_RH_CLEAR, ['platform', 'lockout']],
  [TPMI_RH_NV_AUTH, ['nvIndex', 'owner', 'platform']],
  [TPMI_RH_LOCKOUT, ['lockout']],
  [TPMI_RH_NV_INDEX, ['nvIndex']],
]

describe('handle types', () => {
  it.each(TYPES.map(([type, kinds]) => [type.name, type, kinds] as const))('%s', (_, type, kinds) => {
    const accepted = Object.entries(KINDS).filter(([, handle]) => type.accepts(handle))
    expect(accepted.map(([kind]) => kind)).toEqual([...kinds])
  })

  it('end where the next kind begins', () => {
    expect([24, 0x00ffffff].some((handle) => TPMI_DH_PCR.accepts(handle))).toBe(false)
    expect([0x00ffffff, 0x02000000].some((handle) => TPMI_RH_NV_INDEX.accepts(handle))).toBe(false)
    expect([0x80ffffff, 0x82000000].some((handle) => TPMI_DH_OBJECT.accepts(handle))).toBe(false)
    expect([0x80000003, 0x80000002].map((handle) => TPMI_DH_SAVED.accepts(handle))).toEqual([false, true])
  })

  it('as parameters refuse with TPM_RC_VALUE', () => {
    const codec = handleParameter(TPMI_DH_PERSISTENT)
    expect(unmarshal(codec, marshal(codec, 0x81000001))).toBe(0x81000001)
    expect(() => unmarshal(codec, Uint8Array.of(0x80, 0, 0, 0))).toThrow(
      expect.objectContaining({ code: 'MALFORMED', rc: TPM_RC.VALUE }),
    )
  })
})

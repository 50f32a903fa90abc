// tpm2-tools: contexts that are saved, loaded and flushed, and how many a TPM holds at a time.
// Source: TPM 2.0 Library, Part 1, clause 30, and Part 3, clause 28, revision 1.59.

import { expect, it } from 'vitest'
import { tamper } from './objects.ts'
import { onEachTpm } from './tools.ts'

const handles = (yaml: string): string[] => yaml.match(/0x[0-9A-F]+/g) ?? []

onEachTpm((on) => {
  it('tpm2_flushcontext: what is flushed is gone; saved contexts load again, until the next reset, and unchanged only', async () => {
    const t = on()
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_readpublic -Q -c p.ctx')
    await t.ok('tpm2_flushcontext -t')
    expect(handles(await t.ok('tpm2_getcap handles-transient'))).toEqual([])
    await t.refused('tpm2_flushcontext 0x80000000', 'TPM_RC_REFERENCE_H0')
    await t.ok('tpm2_readpublic -Q -c p.ctx')
    tamper(t, 'p.ctx', 'bad.ctx', 100)
    await t.refused('tpm2_readpublic -c bad.ctx', 'TPM_RC_INTEGRITY, parameter 1')
    await t.tpm.powerCycle()
    await t.ok('tpm2_startup -c')
    await t.refused('tpm2_readpublic -c p.ctx', 'TPM_RC_INTEGRITY, parameter 1')
  })

  it('tpm2_flushcontext -l, -s: sessions, loaded and saved; a session loads from its last context only', async () => {
    const t = on()
    await t.ok('tpm2_startauthsession -S s.ctx --policy-session')
    t.write('old.ctx', t.read('s.ctx'))
    await t.ok('tpm2_policypassword -Q -S s.ctx')
    await t.refused('tpm2_policypassword -S old.ctx', 'TPM_RC_HANDLE, parameter 1')
    expect(handles(await t.ok('tpm2_getcap handles-saved-session'))).toHaveLength(1)
    await t.ok('tpm2_flushcontext -s')
    expect(handles(await t.ok('tpm2_getcap handles-saved-session'))).toEqual([])
    await t.refused('tpm2_policypassword -S s.ctx', 'TPM_RC_HANDLE, parameter 1')
    await t.ok('tpm2_flushcontext -l')
    expect(handles(await t.ok('tpm2_getcap handles-loaded-session'))).toEqual([])
  })

  it('holds many objects and sessions at a time, without a resource manager', async () => {
    const t = on()
    await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
    await t.ok('tpm2_flushcontext -t')
    const { slots, load } = t.isReference
      ? { slots: 3, load: (): Promise<unknown> => t.runAsIs('tpm2_readpublic -c p.ctx') }
      : { slots: 12, load: (): Promise<unknown> => t.ok('tpm2_readpublic -Q -c p.ctx') }
    for (let loaded = 0; loaded < slots; loaded++) await load()
    if (t.isReference) {
      expect(await t.runAsIs('tpm2_readpublic -c p.ctx')).toMatchObject({
        stderr: expect.stringContaining('0x902'),
      })
    } else {
      expect(handles(await t.ok('tpm2_getcap handles-transient'))).toHaveLength(slots)
    }
    await t.ok('tpm2_flushcontext -t')
  })
})

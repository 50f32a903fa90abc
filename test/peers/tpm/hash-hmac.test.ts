// tpm2-tools: digests and HMACs in one command and in sequences, with tickets.
// Source: TPM 2.0 Library, Part 3, clauses 15.4 to 15.6 and 17, revision 1.59.

import { createHash, createHmac } from 'node:crypto'
import { expect, it } from 'vitest'
import { TPM_ST } from '../../../sdk/tpm2/index.ts'
import { onEachTpm } from './tools.ts'

const inputs = {
  small: Buffer.from('a small input'),
  large: Buffer.alloc(5000, 'a large input '),
  empty: Buffer.alloc(0),
}

onEachTpm((on) => {
  it.each(['sha1', 'sha256', 'sha384', 'sha512'])(
    'tpm2_hash -g %s: small, large and empty inputs',
    async (algorithm) => {
      const t = on()
      for (const [name, input] of Object.entries(inputs)) {
        t.write(name, input)
        const digest = await t.ok(`tpm2_hash -C o -g ${algorithm} --hex -t ${name}.ticket ${name}`)
        expect(digest).toBe(createHash(algorithm).update(input).digest('hex'))
        // TPMT_TK_HASHCHECK of the owner.
        expect(t.hex(`${name}.ticket`).slice(0, 12)).toBe(`${TPM_ST.HASHCHECK.toString(16)}40000001`)
      }
      await t.refused(`tpm2_hash -C o -g sm3_256 small`, 'TPM_RC_HASH, parameter 2')
    },
  )

  it('tpm2_hash: no ticket for what could pass for a statement of the TPM', async () => {
    const t = on()
    for (const [name, size] of [
      ['quote', 100],
      ['large-quote', 5000],
    ] as const) {
      const forged = Buffer.concat([Buffer.from('ff544347', 'hex'), Buffer.alloc(size)])
      t.write(name, forged)
      expect(await t.ok(`tpm2_hash -C o -g sha256 --hex -t ticket ${name}`)).toBe(
        createHash('sha256').update(forged).digest('hex'),
      )
      expect(t.hex('ticket')).toBe(`${TPM_ST.HASHCHECK.toString(16)}400000070000`)
    }
  })

  it.each(['sha1', 'sha256', 'sha384'])(
    'tpm2_hmac with a %s key: as computed, and only with its password',
    async (algorithm) => {
      const t = on()
      const key = Buffer.from('0123456789abcdef0123456789abcdef')
      t.write('key', key)
      await t.ok('tpm2_createprimary -Q -C o -G ecc -c p.ctx')
      await t.ok(`tpm2_import -Q -C p.ctx -G hmac:${algorithm} -i key -p hmac -u k.pub -r k.priv`)
      await t.ok('tpm2_load -Q -C p.ctx -u k.pub -r k.priv -c k.ctx')
      for (const [name, input] of Object.entries(inputs)) {
        t.write(name, input)
        const hmac = await t.ok(`tpm2_hmac -c k.ctx -p hmac -g ${algorithm} --hex ${name}`)
        expect({ name, hmac }).toEqual({ name, hmac: createHmac(algorithm, key).update(input).digest('hex') })
      }
      for (const name of ['small', 'large']) {
        await t.refused(`tpm2_hmac -c k.ctx -p wrong ${name}`, 'TPM_RC_AUTH_FAIL, session 1')
      }
      await t.refused('tpm2_hmac -c p.ctx -g sha256 small', 'TPM_RC_TYPE, handle 1')
    },
  )
})

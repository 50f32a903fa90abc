// A plugin with a policy and a veto of its own: learn the reference values of a golden boot, tighten them, and see what
// is refused, with the code that says why.
//
//   npm run example examples/custom-policy/main.ts

import { strict as assert } from 'node:assert'
import { PalimpsestError, parsePolicy } from 'palimpsest'
import { startTestbed, type Testbed, type TestVm } from 'palimpsest/testing'

async function codeOf(attempt: Promise<unknown>): Promise<string> {
  try {
    await attempt
    return 'ok'
  } catch (error) {
    if (error instanceof PalimpsestError) return error.code
    throw error
  }
}

async function attempt(bed: Testbed, name: string, source: TestVm, destination: TestVm): Promise<string> {
  const code = await codeOf(bed.cloneMemory(name, source, destination, 4n))
  console.log(`${name.padEnd(16)} ${code}`)
  return code
}

const bed = await startTestbed()
try {
  const source = await bed.vm('source', { memoryBytes: 64 << 10 })
  const destination = await bed.vm('destination', { memoryBytes: 64 << 10, unmapped: true })
  await destination.serveDestination({ peers: [source.identity] })
  const learned = await bed.policy([destination.identity])

  // 1. Newer firmware is demanded than the platform has.
  const newer = parsePolicy({ ...learned, firmware: { ...learned.firmware, minimumSvn: 9 } })
  const demanding = await source.serveSource({ policy: newer })
  assert.equal(await attempt(bed, 'newer-firmware', source, destination), 'REFUSED_SVN')
  await demanding.close()

  // 2. The plugin itself says no: here, to clones of more than two pages.
  const cautious = await source.serveSource({
    policy: learned,
    onCopyRequested: ({ pairs }) => {
      const pages = pairs.reduce((sum, pair) => sum + pair.count, 0n)
      if (pages > 2n)
        throw new PalimpsestError(
          'PERMISSION_DENIED',
          `at most 2 pages may be cloned, not ${pages.toString()}`,
        )
    },
  })
  assert.equal(await attempt(bed, 'too-many-pages', source, destination), 'PERMISSION_DENIED')
  await cautious.close()

  // 3. The learned policy, as it is.
  await source.serveSource({ policy: learned })
  assert.equal(await attempt(bed, 'as-learned', source, destination), 'ok')
} finally {
  await bed.close()
}

/** The write journal: what is replayed, and what is not. */
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { Journal, readJournals, removeJournals } from '../../../../emulator/storage/journal.ts'
import { emptyDirectory } from './directories.ts'

const BOOT = '6ababce6-0e3b-4f23-a924-3702ea56fd8a'

test('records of this boot come back in order, across a rotation', async () => {
  const directory = await emptyDirectory()
  readJournals(directory, BOOT)
  const journal = new Journal(directory, BOOT, 1)
  journal.append(7, 2 ** 36 - 1, 1)
  expect(journal.records).toBe(1)
  journal.rotate()
  expect(journal.records).toBe(0)
  journal.append(2 ** 29, 0, 4096)
  journal.close()
  const left = readJournals(directory, BOOT)
  expect(left.runs).toEqual([
    { layer: 7, first: 2 ** 36 - 1, count: 1 },
    { layer: 2 ** 29, first: 0, count: 4096 },
  ])
  expect(left.nextNumber).toBe(3)
  removeJournals(left.paths)
  expect(readJournals(directory, BOOT).runs).toEqual([])
})

test('records of another boot are dropped, those of this one are kept (control)', async () => {
  const directory = await emptyDirectory()
  readJournals(directory, BOOT)
  const journal = new Journal(directory, BOOT, 1)
  journal.append(1, 2, 3)
  journal.close()
  expect(readJournals(directory, 'another boot')).toMatchObject({ runs: [], dropped: 1 })
  expect(readJournals(directory, BOOT)).toMatchObject({
    runs: [{ layer: 1, first: 2, count: 3 }],
    dropped: 0,
  })
})

test('torn and damaged records are left out', async () => {
  const directory = await emptyDirectory()
  readJournals(directory, BOOT)
  const journal = new Journal(directory, BOOT, 1)
  for (const first of [10, 20, 30]) journal.append(1, first, 1)
  const path = journal.close()
  const bytes = await readFile(path)
  bytes.writeUInt8(bytes.readUInt8(64 + 16 + 8) ^ 1, 64 + 16 + 8)
  await writeFile(path, bytes)
  await appendFile(path, Buffer.alloc(16))
  await appendFile(path, Buffer.from([1, 0, 0, 0, 9]))
  expect(readJournals(directory, BOOT).runs.map((run) => run.first)).toEqual([10, 30])
  expect(path).toBe(join(directory, '1.journal'))
})

// A program that runs a platform with a hypervisor and a worker, says their process ids, and waits to be killed.

import { join } from 'node:path'
import { readShown, TestPlatform } from './support.ts'

const folder = process.argv[2] ?? ''
const report = join(folder, 'hypervisor.json')
const machine = await TestPlatform.start({ bootHypervisor: { configuration: { report } } }, folder)
await readShown(report)
const worker = await machine.worker('w')
process.stdout.write(`${JSON.stringify({ pids: [machine.platform.hypervisorPid, worker.pid] })}\n`)

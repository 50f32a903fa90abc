// An initial RAM disk for Linux: busybox and a script, in a cpio archive made here.
// Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst (the "newc" format).

import { readFileSync } from 'node:fs'

const FOLDER = 0o040755
const PROGRAM = 0o100755
const DEVICE = 0o020600

/** One entry: a header of hexadecimal numbers, the name, and the content, each filled up to four bytes. */
function entry(name: string, mode: number, content: Uint8Array = Buffer.alloc(0), device = [0, 0]): Buffer {
  const [major = 0, minor = 0] = device
  const nameSize = name.length + 1
  // inode, mode, user, group, links, time, size, device, device of the node, size of the name, checksum
  const numbers = [0, mode, 0, 0, 1, 0, content.length, 0, 0, major, minor, nameSize, 0]
  const header = `070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}${name}\0`
  return Buffer.concat([filled(Buffer.from(header, 'latin1')), filled(content)])
}

function filled(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
}

/** An archive in which Linux runs `script`, line by line, with the busybox of `path`; words are busybox's applets. */
export function initrd(path: string, script: readonly string[]): Buffer {
  const lines = ['#!/bin/busybox sh', '/bin/busybox --install -s /bin', 'export PATH=/bin', ...script, '']
  return Buffer.concat([
    ...['bin', 'dev', 'sys', 'proc'].map((name) => entry(name, FOLDER)),
    // Linux opens it before the script can mount /dev.
    entry('dev/console', DEVICE, undefined, [5, 1]),
    entry('bin/busybox', PROGRAM, readFileSync(path)),
    entry('init', PROGRAM, Buffer.from(lines.join('\n'))),
    entry('TRAILER!!!', 0),
  ])
}

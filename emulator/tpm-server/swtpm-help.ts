// What "swtpm" prints of itself. The options are those of swtpm 0.7.1, so that whoever knows them finds them here; what
// does nothing or is refused says so.

/** The swtpm version whose command line and control channel this program has. */
const swtpmVersion = '0.7.1'

export const generalHelp = `TPM emulator with the command line of swtpm.

Usage: swtpm socket [options]
       swtpm -v|--version

Use "swtpm socket --help" for the options.
`

export const versionText = `TPM emulator version ${swtpmVersion}, Palimpsest (the command line of swtpm ${swtpmVersion}; not swtpm itself)
`

export const socketHelp = `Usage: swtpm socket [options]

The following options are supported:

--tpm2           : a TPM 2.0, the only one here; must be given, since swtpm's default is a TPM 1.2
--server [type=tcp][,port=port[,bindaddr=address[,ifname=ifname]]][,fd=fd][,disconnect]
                 : take TPM commands on this TCP port of 127.0.0.1 or of the given address;
                   fd is a socket that is connected already, and the TPM ends with it;
                   disconnect closes a connection after each response
--server type=unixio[,path=path][,fd=fd][,mode=0...][,uid=uid][,gid=gid][,disconnect]
                 : take TPM commands on this UNIX socket; fd is a socket that listens already
-p|--port <port> : as --server type=tcp,port=<port>,disconnect
-f|--fd <fd>     : take TPM commands from this connected socket and end with it
--ctrl type=[unixio|tcp][,path=<path>][,port=<port>[,bindaddr=address[,ifname=ifname]]]
       [,fd=<fd>|clientfd=<fd>][,mode=0...][,uid=uid][,gid=gid]
                 : the control channel, at such an address; fd listens already, clientfd is one client;
                   on a UNIX path without --server, --port and --fd a client passes the socket on which it
                   sends TPM commands, as QEMU does
--tpmstate dir=<dir>[,mode=0...][,lock]|backend-uri=dir://<dir>|backend-uri=file://<file>
                 : where the state is kept; TPM_PATH may name a folder instead;
                   without either the state is lost when the program ends
--flags [not-need-init][,startup-clear|startup-state|startup-none]
                 : take commands without an INIT over the control channel; send TPM2_Startup first
-t|--terminate   : end when the last data client has gone
-d|--daemon      : return as soon as clients can connect, and go on in the background
--pid file=<path>|fd=<fd>
                 : write the process id there; the file is removed at the end
--log file=<path>|fd=<fd>[,level=n][,prefix=<prefix>][,truncate]
                 : write the log there instead of to standard error; file=- for none; level 5 tells each request
--locality [reject-locality-4][,allow-set-locality]
                 : refuse locality 4; accept the vendor command that sets the locality
--seccomp action=none|log|kill
                 : accepted, without effect
--print-capabilities
                 : print capabilities and terminate
--print-states   : print the states that are stored and terminate
-h|--help        : this text

Refused: --key, --migration-key, --runas.
`

/** The text of --print-capabilities: what a harness may use of the options that came after swtpm 0.1. */
export function capabilitiesText(tpm2: boolean, rsaKeySizes: readonly number[]): string {
  const features = [
    'tpm-2.0',
    'tpm-send-command-header',
    'flags-opt-startup',
    'cmdarg-seccomp',
    'cmdarg-print-states',
    'nvram-backend-dir',
    'nvram-backend-file',
    ...(tpm2 ? rsaKeySizes.map((size) => `rsa-keysize-${size}`) : []),
  ]
  const list = features.map((feature) => JSON.stringify(feature)).join(', ')
  return `{ "type": "swtpm", "features": [ ${list} ], "version": "${swtpmVersion}" }\n`
}

/** The text of --print-states. */
export function statesText(states: readonly { readonly name: string; readonly size: number }[]): string {
  const list = states.map(({ name, size }) => `{"name": ${JSON.stringify(name)}, "size": ${size}}`)
  return `{ "type": "swtpm", "states": [${list.length === 0 ? '' : ` ${list.join(', ')} `}] }\n`
}

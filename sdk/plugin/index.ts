// What plugin authors write against: define a source or destination plugin, give keys, serve it.

export { type Credentials, loadCredentials } from './credentials.ts'
export {
  type CopyRequest,
  defineDestinationPlugin,
  defineSourcePlugin,
  type KeyAnswer,
  type KeyRequest,
  type Plugin,
  type PluginContext,
  type PluginOptions,
} from './define.ts'
export { EncryptedDisk } from './disk.ts'
export type { PluginEvent, PluginObserver } from './events.ts'
export { Guest, type SlotKeys } from './guest.ts'
export { keysByKind, memoryKeys, type MemoryKeys, volumeKey } from './keys.ts'
export { serve, type ServedPlugin, type ServeOptions } from './serve.ts'

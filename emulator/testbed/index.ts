// Everything needed to try or test a plugin: an emulator as real processes, identities, and policies for it; and TPMs as
// their manufacturer sells them, for tests of other programs.

export {
  Authority,
  describeIdentity,
  type Identity,
  type IdentityRole,
  identityRoles,
  readIdentity,
} from './authority.ts'
export {
  CONNECTION_FILE,
  type Emulator,
  type EmulatorAddresses,
  type EmulatorOptions,
  runEmulator,
} from './emulator.ts'
export { defaultHypervisorImage, defaultWorkerImage, packageRoot } from './images.ts'
export { manufactureTpm } from './manufacture.ts'
export { learnFrom, learnPolicyFrom } from './policy.ts'
export { endProcess, nodeArguments, spawnCommand, type SpawnedCommand } from './spawn.ts'
export { startTestbed, type Testbed, type TestbedOptions } from './testbed.ts'
export type { TestPluginOptions, TestVm, TestVmOptions } from './vm.ts'

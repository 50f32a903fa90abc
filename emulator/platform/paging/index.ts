// Guest page tables: the one door of this room. It knows registers, entries and guest-physical memory behind an
// interface; frames, keys and hosts are its users' business.

export { type AddressSpace, addressSpace, type AddressSpaceDescription } from './address-space.ts'
export { flagText } from './entry.ts'
export { type AccessKind, type GuestAccess, type GuestPhysical } from './guest-physical.ts'
export { type BrokenEntry, listMappings, type MappedPage } from './list.ts'
export { Mmu, type Explanation, type Translation } from './mmu.ts'
export { type ControlRegisters, kernelRegisters, type ProcessorModel } from './mode.ts'

// The worker: the one component that decrypts, re-encrypts and stores, and the checks of what it leaves behind.

export {
  AUDIT_START,
  type AuditEntry,
  type AuditFields,
  type AuditHead,
  type AuditVerdict,
  parseAuditEntry,
  verifyAudit,
} from './audit.ts'
export { FAULT_POINTS, type FaultPointName } from './fault-points.ts'
export { runWorker } from './main.ts'
export { type Receipt, verifyReceipt } from './receipts.ts'

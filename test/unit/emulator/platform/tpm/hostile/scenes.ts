// All scenes, by the files that hold them.

import { type Scene } from './scene.ts'
import { CRYPTO_SCENES } from './scenes-crypto.ts'
import { MANAGEMENT_SCENES } from './scenes-management.ts'
import { OBJECT_SCENES } from './scenes-objects.ts'
import { POLICY_SCENES } from './scenes-policy.ts'

export const SCENES: readonly Scene[] = [
  ...OBJECT_SCENES,
  ...CRYPTO_SCENES,
  ...POLICY_SCENES,
  ...MANAGEMENT_SCENES,
]

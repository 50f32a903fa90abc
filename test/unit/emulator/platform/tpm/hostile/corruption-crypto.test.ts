// Commands of scenes-crypto.ts that are not what they should be. What comes of each: a refusal that fits, and no change.

import { corruptScenes } from './corrupt.ts'
import { CRYPTO_SCENES } from './scenes-crypto.ts'

corruptScenes('crypto', CRYPTO_SCENES)

// Commands of scenes-policy.ts that are not what they should be. What comes of each: a refusal that fits, and no change.

import { corruptScenes } from './corrupt.ts'
import { POLICY_SCENES } from './scenes-policy.ts'

corruptScenes('policy', POLICY_SCENES)

// Commands of scenes-management.ts that are not what they should be. What comes of each: a refusal that fits, and no change.

import { corruptScenes } from './corrupt.ts'
import { MANAGEMENT_SCENES } from './scenes-management.ts'

corruptScenes('management', MANAGEMENT_SCENES)

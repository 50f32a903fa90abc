// Commands of scenes-objects.ts that are not what they should be. What comes of each: a refusal that fits, and no change.

import { corruptScenes } from './corrupt.ts'
import { OBJECT_SCENES } from './scenes-objects.ts'

corruptScenes('objects', OBJECT_SCENES)

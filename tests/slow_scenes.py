"""The procedural scenes, as slow to read as the environment variable SLOW says, in seconds."""

import os
import time

from vision_banana.data.scenes import Scenes


class SlowScenes(Scenes):
    def example(self, index, task, references=None):
        time.sleep(float(os.environ.get("SLOW", "0")))
        return super().example(index, task, references)

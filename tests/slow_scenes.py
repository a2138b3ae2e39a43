"""The procedural scenes, slow to read, or broken on one of several processes."""

import os
import sys
import time

from vision_banana.data.scenes import Scenes


class SlowScenes(Scenes):
    """As slow as the environment variable SLOW says, in seconds."""

    def example(self, index, task, references=None):
        time.sleep(float(os.environ.get("SLOW", "0")))
        return super().example(index, task, references)


class BrokenScenes(Scenes):
    """Cannot be read any more after 40 answers, on process 1 alone."""

    answers = 0

    def example(self, index, task, references=None):
        self.answers += 1
        if self.answers > 40 and "--process_id=1" in sys.argv:
            raise ValueError("the index of this set contradicts itself")
        return super().example(index, task, references)

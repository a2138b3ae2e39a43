"""A page in the browser: a picture, a prompt, and what the generator makes of them.

    python -m vision_banana.demo --workdir runs/quickstart/tune
    python -m vision_banana.demo --checkpoint pocket --port 7860

It needs the extra `demo` (`pip install 'vision-banana[demo]'`). The page is served to this machine
alone, reads nothing but what is uploaded, keeps it in a folder that goes when the command ends,
and asks no network for anything. A picture of more than 1024 pixels a side is shrunk to them before
it is asked about; the answer and its files have that size.
"""

import argparse
import math
import os
from collections.abc import Sequence

from absl import logging

from vision_banana import _bad_input
from vision_banana.api.model import Model
from vision_banana.data import language
from vision_banana.training import weights_arguments
from vision_banana.web import demo_page, server
from vision_banana.web.answering import Answerer
from vision_banana.web.limits import Limits


def run(arguments: argparse.Namespace) -> None:
    """Serves the page until it is interrupted.

    Raises:
      ValueError, OSError: weights that cannot be used, or a port that is taken.
      ImportError: gradio is not installed.
    """
    for name in ("max_megabytes", "max_megapixels", "max_waiting"):
        value = getattr(arguments, name)
        if not 0 < value < math.inf:
            raise ValueError(f"--{name} is {value:g}; it must be above 0 and finite")
    server.check_port(arguments.port)
    limits = Limits(
        megabytes=arguments.max_megabytes,
        megapixels=arguments.max_megapixels,
        waiting=arguments.max_waiting,
    )
    model = Model(weights_arguments.load(arguments, language.describe()))
    with server.own_folder() as folder:
        answers = os.path.join(folder, "answers")
        os.mkdir(answers)
        server.serve(demo_page.build(Answerer(model, answers, limits)), limits, arguments.port)


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = _bad_input.Parser(prog="python -m vision_banana.demo", description=__doc__)
    add = made.add_argument
    weights_arguments.add(made)
    add("--port", type=int, help="where to serve (a free one from 7860 on)")
    add("--max_megabytes", type=float, default=20.0, help="largest upload (20)")
    add("--max_megapixels", type=float, default=25.0, help="largest picture (25)")
    add("--max_waiting", type=int, default=8, help="how many may wait in the queue (8)")
    return made


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    logging.set_verbosity(logging.ERROR)
    arguments = parser().parse_args(argv)
    with _bad_input.exits("demo"):
        run(arguments)


if __name__ == "__main__":
    main()

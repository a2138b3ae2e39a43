"""Times the product's own parts on this machine, beside the usual ways, in one run.

    python -m vision_banana.bench train       # the pocket train step against PyTorch, on the CPU
    python -m vision_banana.bench perceive    # an answer about a picture in 1, 4 and 20 steps
    python -m vision_banana.bench decoders    # decoders and metrics against NumPy and others
    python -m vision_banana.bench loop        # what training costs beside its steps

The times are what this machine gave while it ran; leave it alone meanwhile. `train` and `decoders`
need the extra `bench` (PyTorch, OpenCV, scikit-image).
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

from vision_banana import _bad_input
from vision_banana.bench import decoders, loop, perceive, train
from vision_banana.training import folders, memory

COMMANDS: dict[str, tuple[Callable[[int], dict[str, Any]], Callable[[Any], str], int]] = {
    "train": (train.compare, train.report, 15),
    "perceive": (perceive.compare, perceive.report, 9),
    "decoders": (decoders.compare, decoders.report, 7),
    "loop": (loop.compare, loop.report, 9),
}


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(prog="python -m vision_banana.bench", description=__doc__)
    parser.add_argument("what", choices=COMMANDS)
    parser.add_argument("--rounds", type=int, help="how often each is timed")
    parser.add_argument("--output", type=pathlib.Path, help="write the result as JSON")
    arguments = parser.parse_args(argv)
    compare, report, rounds = COMMANDS[arguments.what]
    rounds = rounds if arguments.rounds is None else arguments.rounds
    with _bad_input.exits("bench"):
        if rounds < 1:
            raise ValueError(f"--rounds {rounds}: time each at least once")
        try:
            result = compare(rounds)
        except ModuleNotFoundError as error:
            raise ImportError(
                f"{error}; install the extra: pip install 'vision-banana[bench]'"
            ) from error
        if arguments.output:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            folders.write_whole(arguments.output, json.dumps(result, indent=1) + "\n")
    described = result["machine"]
    print(
        f"{described['processor']}, {described['cores']} cores, JAX on {described['device']}; ",
        end="",
    )
    print(", ".join(f"{k} {described[k]}" for k in ("jax", "numpy", "torch") if k in described))
    print(report(result))


if __name__ == "__main__":
    memory.use_huge_pages()
    main()

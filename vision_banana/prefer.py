"""Compares two generators' pictures by human choice: a page of blind pairs, and what it says.

    python -m vision_banana.evaluate --benchmark genai_bench --data DIR --checkpoint A \\
        --steps 20 --save_predictions kept/a
    python -m vision_banana.evaluate --benchmark genai_bench --data DIR --checkpoint B \\
        --steps 20 --save_predictions kept/b
    python -m vision_banana.prefer kept/a kept/b --votes votes.jsonl
    python -m vision_banana.prefer kept/a kept/b --votes votes.jsonl --report \\
        --output results.jsonl

The first folder is "ours". Raters of one machine open the page, one after the other or in several
windows; each gets all pairs in an order and on sides of their own, and goes on where they stopped
under the same name. Each vote is on the disk before the next pair is shown. At the end, and with
--report, also while people vote, the win rate stands with its interval and the raters' agreement;
--output adds it to a file of result lines, from which the paper's tables are made. `--judge
module:function` asks a program in place of people: `function(prompt, left, right, picture)` gets
(H, W, 3) uint8 pictures, `picture` being what was edited, or None, and says "left", "tie" or
"right"; its votes are reported on a line of their own. The page needs the extra `demo`
(`pip install 'vision-banana[demo]'`).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tqdm

from vision_banana import _bad_input
from vision_banana.data import plugged
from vision_banana.evaluation import preference_study, preference_votes, results, saved
from vision_banana.evaluation.preference_study import Study
from vision_banana.evaluation.preference_votes import Votes
from vision_banana.web import preference_page, server
from vision_banana.web.limits import Limits

Judge = Callable[[str, np.ndarray, np.ndarray, np.ndarray | None], str]


def run(arguments: argparse.Namespace) -> int:
    """Asks people or a judge, prints the tally and adds its lines; returns the exit code.

    Raises:
      ValueError, OSError: folders, votes or a judge that cannot be used, a port that is taken, a
        file that cannot be written.
      ImportError: gradio is not installed.
    """
    server.check_port(arguments.port)
    study = preference_study.read(arguments.ours, arguments.theirs)
    for name, reason in study.bad:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    origins = []
    if arguments.output:  # what is wrong with them is said before anybody votes
        origins = [saved.origin(folder) for folder in (arguments.ours, arguments.theirs)]
        preference_study.lines(study, [], *origins)
    judge = plugged.find(arguments.judge, "--judge") if arguments.judge else None
    failed: list[tuple[str, str]] = []
    if arguments.report:
        if not os.path.exists(arguments.votes):
            print(f"there are no votes yet: {arguments.votes} does not exist")
            return 0
        records = preference_votes.read(arguments.votes, study)
    else:
        votes = Votes(arguments.votes, study)
        try:
            if votes.repaired:
                print(votes.repaired, file=sys.stderr)
            if judge is None:
                _serve(study, votes, arguments.port)
            else:
                failed = ask(judge, arguments.judge, votes)
        finally:
            votes.close()
        records = votes.records()
    for name, reason in failed:
        print(f"not judged: {name}: {reason}", file=sys.stderr)
    if not records:
        print("there are no votes yet")
        return 1 if failed else 0
    print(f"{arguments.ours} against {arguments.theirs}, {len(study.pairs)} pairs, in per cent\n")
    print(preference_study.markdown(preference_study.tally(records)))
    if arguments.output:
        lines = preference_study.lines(study, records, *origins)
        results.write(arguments.output, lines)
        print(f"\n{len(lines)} lines added to {arguments.output}")
    return 1 if failed else 0


def _serve(study: Study, votes: Votes, port: int | None) -> None:
    limits = Limits(megabytes=1)  # nothing is uploaded
    with server.own_folder():
        server.serve(preference_page.build(votes, len(study.pairs)), limits, port)


def ask(judge: Judge, name: str, votes: Votes, progress: Any = tqdm.tqdm) -> list[tuple[str, str]]:
    """Has a judge vote on every pair that it has not voted on.

    Args:
      judge: see the top of this module.
      name: under which its votes are stored.
      votes: where they go.
      progress: wraps the pairs, as `tqdm.tqdm` does.

    Returns:
      (pair, reason) of those that it failed on; they have no vote, and are asked again next time.
    """
    failed = []
    for showing in progress(votes.left_to(name, judge=True)):
        try:
            left, right = preference_study.sides(showing)
            edited = preference_study.edited(showing.pair)
            choice = judge(showing.pair.prompt, left, right, edited)
            preference_study.vote(showing, choice)
        except Exception as error:  # whatever a judge does wrong costs this pair alone
            failed.append((showing.pair.name, f"{type(error).__name__}: {error}"))
            continue
        votes.add(name, showing, choice, judge=True)
    return failed


def parser() -> _bad_input.Parser:
    """The command's arguments."""
    made = _bad_input.Parser(
        prog="python -m vision_banana.prefer",
        description=__doc__,
    )
    add = made.add_argument
    add("ours", help="folder of one generator's pictures")
    add("theirs", help="folder of the other's")
    add(
        "--votes",
        type=os.path.expanduser,
        default="votes.jsonl",
        help="file of the votes (votes.jsonl)",
    )
    add("--report", action="store_true", help="only say what the votes say so far")
    add("--judge", metavar="MODULE:FUNCTION", help="a program that votes in place of people")
    add(
        "--output",
        type=os.path.expanduser,
        help="file that gets the win rates as result lines",
    )
    add("--port", type=int, help="where to serve (a free one from 7860 on)")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = parser().parse_args(argv)
    with _bad_input.exits("prefer"):
        return run(arguments)


if __name__ == "__main__":
    raise SystemExit(main())

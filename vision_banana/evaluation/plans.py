"""How one question is put to the generator: once, or as several queries whose answers are joined.

A plan is a list of queries and a function that makes one answer of theirs. Plans nest: a picture
answered in tiles asks each tile's regions apart, and each of them several times over. Queries
about one picture are drawn in one group, so the generator looks at it once for all of them.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vision_banana.data import transforms
from vision_banana.data.source import BadRecord
from vision_banana.evaluation import tiles, units
from vision_banana.metrics.calibration import Curve
from vision_banana.tasks import (
    colors,
    instance_segmentation,
    referring_segmentation,
    semantic_segmentation,
)
from vision_banana.tasks.task import Answer, Example, Task
from vision_banana.text import tokenizer

Present = Callable[[np.ndarray, str], bool]
Rewrite = Callable[[str], str]
WORDINGS = 8  # of each part of a legend, that must fit


class Query(NamedTuple):
    """One prompt about one record.

    Attributes:
      record: its index.
      example: with the reference pictures as the generator sees them; label and valid at their
        own size.
      prompt: what is asked.
      shape: (H, W) of the picture that is drawn.
      truth: draws the true answer as a picture, (H, W, 3), of that shape.
      picture: (H, W, 3), the first reference at its own size, for a judge and for edits; else None.
      sought: the data set's own phrases, before any rewriting; see `phrases`.
      unasked: why it cannot be put to the generator, so that nothing answers it; "" where it can.
    """

    record: int
    example: Example
    prompt: str
    shape: tuple[int, int]
    truth: Callable[[], np.ndarray]
    picture: np.ndarray | None = None
    sought: tuple[str, ...] = ()
    unasked: str = ""


class How(NamedTuple):
    """How questions are put.

    Attributes:
      votes: how often each is asked; the answers are combined by `units.vote`. Pictures that are
        themselves the answer are asked for once.
      flips: whether every second vote sees the mirrored picture, a second look at it.
      tile: side of the generator's pictures: a larger one is answered in tiles. 0: never.
      apart: whether each of several regions of a referring prompt is asked on its own.
      classes_at_once: the most classes that a semantic prompt asks for; more are asked in parts,
        each with all else as the background. For legends longer than the generator's prompts.
        0: all.
      present: `(picture, phrase) -> bool`, whether something is in an (H, W, 3) RGB picture. The
        answer for what is not is all background, and a question about nothing else is not asked.
        It answers for instance and referring segmentation (`judge`) and hears the data set's own
        phrases, before `rewrite`; the default leaves that to the generator.
      rewrite: `phrase -> phrase`, puts an instance phrase or a referring expression in words
        that the generator understands better.
      calibrations: steps -> task -> curve; confidences become probabilities of being right.
    """

    votes: int = 1
    flips: bool = True
    tile: int = 0
    apart: bool = False
    classes_at_once: int = 0
    present: Present | None = None
    rewrite: Rewrite | None = None
    calibrations: Mapping[int, Mapping[str, Curve]] = {}


class Plan(NamedTuple):
    """Queries, and what is made of their answers, batches of one in the queries' order."""

    queries: list[Query]
    join: Callable[[list[Answer]], Answer]


def once(query: Query) -> Plan:
    """Asks plainly."""
    return Plan([query], lambda answers: answers[0])


def together(plans: Sequence[Plan], join: Callable[[list[Answer]], Answer]) -> Plan:
    """One plan of several; `join` takes an answer of each."""

    def joined(answers: list[Answer]) -> Answer:
        rest = iter(answers)
        return join([p.join([next(rest) for _ in p.queries]) for p in plans])

    return Plan([q for p in plans for q in p.queries], joined)


def plan(task: Task, query: Query, how: How, text_length: int, rng: np.random.Generator) -> Plan:
    """The plan for a question.

    Args:
      task: what is asked.
      query: the question.
      how: see `How`.
      text_length: the most tokens of a prompt.
      rng: draws the votes' wordings and colours.

    Raises:
      ValueError: too many tiles; see `tiles.places`.
      PromptTooLong: a part of the classes, or one of several regions, does not fit; see `How`.
    """
    if task.again is None:
        return once(query)

    def voted(query: Query) -> Plan:
        asked = [once(query)]
        for number in range(1, how.votes):
            flip = how.flips and number % 2 == 1
            prompt = _again(task, query.prompt, flip, text_length, rng)
            q = _mirrored(query) if flip else query
            join = (lambda answers: units.mirror(answers[0])) if flip else once(q).join
            asked.append(Plan([q._replace(prompt=prompt)], join))
        return together(asked, units.vote) if how.votes > 1 else asked[0]

    def in_parts(query: Query) -> Plan:
        prompts = _parts(task, query.prompt, how, text_length, rng)
        if not prompts:
            return voted(query)

        def join(answers: list[Answer]) -> Answer:
            if task.name == "referring_segmentation":
                return _regions(task, query, answers)
            return semantic_segmentation.joined(query.prompt, answers)

        return together([voted(query._replace(prompt=prompt)) for prompt in prompts], join)

    # Merged at the picture's own size: an instance may lie in several tiles.
    if task.name == "instance_segmentation" and (
        prompts := instance_segmentation.apart(query.prompt)
    ):
        alone = [query._replace(prompt=prompt) for prompt in prompts]
        return together(
            [plan(task, q, how, text_length, rng) for q in alone],
            lambda answers: instance_segmentation.joined(query.prompt, answers),
        )
    if how.tile and max(query.shape) > how.tile:
        boxes = tiles.places(query.shape, how.tile)
        cut = [in_parts(_cut(query, box)) for box in boxes]
        return together(cut, lambda answers: tiles.blend(answers, boxes, query.shape))
    return in_parts(query)


def _parts(task: Task, prompt: str, how: How, length: int, rng: np.random.Generator) -> list[str]:
    """The prompts that ask for parts of what a prompt asks for; none where it is asked whole."""
    if task.name == "referring_segmentation" and how.apart:
        parts = referring_segmentation.apart(prompt, rng)
        # A single region is asked as it was: a benchmark's wording may be fixed.
        return [_fitting(part, length, rng) for part in parts] if len(parts) > 1 else []

    def written(names: Sequence[str]) -> str:
        return tokenizer.first_fitting(lambda: semantic_segmentation.ask_part(names, rng), length)[
            0
        ]

    return [written(names) for names in class_parts(task, prompt, how)]


def _fitting(prompt: str, length: int, rng: np.random.Generator) -> str:
    """A prompt for regions, in other words where it is too long; PromptTooLong if none fit."""
    if tokenizer.count(prompt) <= length:
        return prompt
    return tokenizer.first_fitting(lambda: referring_segmentation.again(prompt, rng), length)[0]


def classes_that_fit(prompt: str, length: int) -> int:
    """The most classes of a semantic prompt to ask at once of a generator of shorter prompts.

    Args:
      prompt: names all classes.
      length: the most tokens of a prompt.

    Returns:
      A number for `How.classes_at_once`: 0 where the prompt fits, else the largest of which
      every part fits in each of a few draws of its wording; 1 where none does.
    """
    if tokenizer.count(prompt) <= length:
        return 0
    names = colors.phrases(colors.parse_prompt(prompt))
    rng = np.random.default_rng(0)

    def fits(part: Sequence[str]) -> bool:
        try:
            for _ in range(WORDINGS):
                tokenizer.first_fitting(lambda: semantic_segmentation.ask_part(part, rng), length)
        except tokenizer.PromptTooLong:
            return False
        return True

    for number in range(2, len(names)):
        most = math.ceil(len(names) / number)
        if all(map(fits, semantic_segmentation.in_parts(prompt, most))):
            return most
    return 1


def class_parts(task: Task, prompt: str, how: How) -> list[tuple[str, ...]]:
    """The parts in which a prompt's classes are asked; none where it is asked whole."""
    if task.name != "semantic_segmentation" or not how.classes_at_once:
        return []
    parts = semantic_segmentation.in_parts(prompt, how.classes_at_once)
    return parts if len(parts) > 1 else []


def _again(task: Task, prompt: str, flip: bool, length: int, rng: np.random.Generator) -> str:
    """Other words of the same meaning; where none fit the generator, the same words."""
    ask = task.again
    assert ask is not None

    def said() -> str:
        text = ask(prompt, rng)
        return transforms.mirror_text(text) if flip else text

    try:
        return tokenizer.first_fitting(said, length)[0]
    except tokenizer.PromptTooLong:
        return transforms.mirror_text(prompt) if flip else prompt


def _mirrored(query: Query) -> Query:
    shown = tuple(np.ascontiguousarray(p[:, ::-1]) for p in query.example.references)
    return query._replace(example=dataclasses.replace(query.example, references=shown))


def _cut(query: Query, box: tiles.Box) -> Query:
    shown = tuple(np.ascontiguousarray(p[box]) for p in query.example.references)
    shape = tuple(part.stop - part.start for part in box)
    example = dataclasses.replace(query.example, references=shown)
    return query._replace(example=example, shape=(shape[0], shape[1]))


def _regions(task: Task, query: Query, answers: list[Answer]) -> Answer:
    """One answer of those about each region; their masks may overlap."""
    blank = np.zeros((1, *query.shape, 3), np.float32)
    masks = np.concatenate([np.asarray(answer["masks"])[:, :1] for answer in answers], axis=1)
    sure = np.mean([np.asarray(answer["confidence"]) for answer in answers], axis=0)
    return {**task.read(blank, [query.prompt]), "masks": masks, "confidence": sure}


def phrases(example: Example) -> tuple[str, ...]:
    """What an example asks to find: an instance phrase or referring expressions; else nothing."""
    words = example.words
    return tuple(words.get("expressions", ())) + ((words["phrase"],) if "phrase" in words else ())


def rewritten(example: Example, rewrite: Rewrite | None) -> Example:
    """The example asked for in other words.

    Raises:
      BadRecord: these are no words, mean the background, or mean two of its expressions.
    """
    before = phrases(example)
    if rewrite is None or not before:
        return example
    after = tuple(rewrite(text) for text in before)
    said = [colors.normalise(text) for text in after]
    if len(set(said)) < len(said) or "" in said or colors.BACKGROUND in said:
        raise BadRecord(
            example.key,
            f"rewritten, {before!r} reads {after!r}: each needs words of its own, none of them the "
            "background",
        )
    words = dict(example.words)
    if "expressions" in words:
        words["expressions"] = after[: len(words["expressions"])]
    if "phrase" in words:
        words["phrase"] = after[-1]
    return dataclasses.replace(example, words=words)

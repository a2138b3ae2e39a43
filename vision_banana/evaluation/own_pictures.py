"""Answers about pictures of any size: ask at the model's size, decode, then `resize` the answer."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.evaluation import ask as ask_lib
from vision_banana.evaluation import plans, predict, questions, resize, score
from vision_banana.evaluation.plans import How, Plan, Query
from vision_banana.evaluation.questions import Question
from vision_banana.models.generator import Generator, Params
from vision_banana.tasks import TASKS, instance_segmentation
from vision_banana.tasks.task import Answer, Example
from vision_banana.text import tokenizer

SEEDS = 2**31  # a larger one would draw the noise of another


class Reply(NamedTuple):
    """An answer at the picture's own size.

    Attributes:
      question: what was asked.
      rgb: (H, W, 3) float32 in [0, 1], what the model drew, of several pictures the first.
      answer: what the task reads from it, a batch of one; of several votes what they come to.
      picture: (H, W, 3) float32, the answer for people.
      votes: how often it was asked.
      pictures: how many were drawn for it: one for each vote on each phrase that is asked alone.
      seed: with which the same question, asked alone, gets this answer.
    """

    question: Question
    rgb: np.ndarray
    answer: Answer
    picture: np.ndarray
    votes: int = 1
    seed: int = 0
    pictures: int = 1


def check(asked: Sequence[Question], text_length: int, shape: tuple[int, int]) -> None:
    """Checks that every prompt can be read, by the model and by its task's decoder.

    Raises:
      ValueError: an empty or too long prompt, or one without the colours that decoding needs.
    """
    blank = np.zeros((1, *shape, 3), np.float32)  # of the size that is compiled for anyway
    for task, prompt in asked:
        questions.check_prompt(prompt, task)
    for task, prompt in dict.fromkeys(asked):  # many pictures are mostly asked alike
        apart = instance_segmentation.apart(prompt) if task == "instance_segmentation" else []
        for part in apart or [prompt]:
            tokenizer.encode(part, text_length)
            TASKS[task].read(blank, [part])


class QuestionSet(NamedTuple):
    """Questions about one set of pictures.

    Attributes:
      questions: what to ask.
      pictures: each (H, W, 3) RGB in [0, 1]: none to draw from words, two for an edit that takes
        something from the second, else one.
    """

    questions: Sequence[Question]
    pictures: Sequence[np.ndarray]


def ask(
    model: Generator,
    params: Params,
    asked: Sequence[QuestionSet],
    *,
    shape: tuple[int, int],
    seed: int = 0,
    votes: int = 1,
    groups: int = 8,
    **sampling: Any,
) -> list[list[Reply]]:
    """Asks questions about pictures, or for pictures from words alone.

    The model looks at a set of pictures once for all of its questions, and once more, mirrored,
    where there are votes.

    Args:
      model: the generator.
      params: its weights.
      asked: what to ask about which pictures.
      shape: height and width in pixels at which the model works, multiples of its patch.
      seed: of the first question's noise, and of its votes' wordings. The n-th question after it
        has `seed + n`, counted through all sets and from 0 again at 2**31, so that each answer
        can be had again alone.
      votes: how often each question is asked, as `plans.plan` does it; what is itself a picture is
        drawn once.
      groups: sets of pictures that are looked at together; fewer where there are votes.
      **sampling: `steps`, `solver`, guidance; see `predict.build`.

    Returns:
      For each set a reply to each question, of its first picture's size, or the model's where
      there is none.

    Raises:
      ValueError: a task that does not look at so many pictures, or a prompt that cannot be read;
        see `check`.
    """
    for name, count in {(q.task, len(shown)) for row, shown in asked for q in row}:
        questions.check(name, count)
    check([q for row, _ in asked for q in row], model.text_length, shape)
    together = max(1, groups // votes)
    put = ask_lib.build(predict.build(model, **sampling), params, model.text_length, together)
    seeds = (n % SEEDS for n in itertools.count(seed))
    made: list[list[tuple[int, Plan]]] = []
    for i, (row, pictures) in enumerate(asked):
        shown = [resize.smooth(picture, shape) for picture in pictures]
        made.append([])
        for question, own in zip(row, seeds, strict=False):
            query = _query(i, question, shown, shape)
            rng = np.random.default_rng(own)
            task = TASKS[question.task]
            made[i].append((own, plans.plan(task, query, How(votes), model.text_length, rng)))
    flat = [plan for planned in made for plan in planned]
    if not flat:
        return [[] for _ in asked]
    keys = [_keys(own, len(plan.queries)) for own, plan in flat]
    queries = [q for _, plan in flat for q in plan.queries]
    drawn = iter(score.draw_rows(put, queries, jnp.concatenate(keys)))
    return [
        [
            _reply(q, plan, votes, own, drawn, pictures[0].shape[:2] if pictures else shape)
            for q, (own, plan) in zip(row, planned, strict=True)
        ]
        for planned, (row, pictures) in zip(made, asked, strict=True)
    ]


def _keys(seed: int, count: int) -> jax.Array:
    """The keys of the queries that answer one question."""
    return jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), jnp.arange(count))


def _query(
    number: int, question: Question, shown: Sequence[np.ndarray], shape: tuple[int, int]
) -> Query:
    """A question about a picture of which nothing is known."""
    unknown = np.zeros(shape, bool)
    example = Example(question.task, f"picture {number}", tuple(shown), unknown, unknown, {})
    grey = np.full((*shape, 3), 0.5, np.float32)
    return Query(number, example, question.prompt, shape, lambda: grey)


def _reply(
    question: Question, plan: Plan, votes: int, seed: int, drawn: Iterator[np.ndarray], own: Any
) -> Reply:
    task = TASKS[question.task]
    rgb = [next(drawn) for _ in plan.queries]
    answer = plan.join(
        [task.read(x[None], [q.prompt]) for x, q in zip(rgb, plan.queries, strict=True)]
    )
    answer = resize.answer(answer, rgb[0].shape[:2], own)
    if "masks" in answer:  # those beyond the prompt's regions only fill up a batch
        answer["masks"] = answer["masks"][:, : len(answer["names"][0])]
    to_own = resize.smooth if task.draws else resize.nearest
    picture = np.asarray(task.picture(answer, 0))
    votes = votes if task.again else 1
    return Reply(question, to_own(rgb[0], own), answer, picture, votes, seed, len(rgb))

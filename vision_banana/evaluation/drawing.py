"""Draws a judged benchmark's pictures, which people or a judge compare afterwards."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision_banana.data.source import BadRecord, Source
from vision_banana.evaluation import benchmarks, own_pictures, saved, score
from vision_banana.evaluation.benchmarks import Benchmark
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.evaluation.plans import Query
from vision_banana.evaluation.questions import Question
from vision_banana.training.trained import Trained

TOGETHER = 8  # pictures drawn at once
_WORDS = {"image_generation": "caption", "image_editing": "instruction"}


def run(
    trained: Trained,
    row: Benchmark,
    data: str,
    folder: str,
    *,
    count: int,
    steps: Sequence[int],
    seed: int,
    text_guidance: float,
    shard: tuple[int, int] = (0, 1),
    evaluation: str = "",
    progress: Any = iter,
) -> tuple[int, list[tuple[str, str]]]:
    """Draws a picture for every record's own words and saves it as `saved.save` does.

    Records whose pictures of this evaluation are all there are not drawn again, so that the same
    call goes on where it stopped.

    Args:
      trained: the generator.
      row: the benchmark.
      data: the folder that holds its data.
      folder: gets the pictures.
      count: records to draw, the first ones; 0 for all.
      steps: numbers of sampling steps.
      seed: of the noise, which also depends on the record.
      text_guidance: weight of the text in image generation.
      shard: (i, n): draws every n-th few records, from the i-th on.
      evaluation: a text that is another for other weights or settings, see `saved.save`.
      progress: wraps a sequence, as `tqdm.tqdm` does.

    Returns:
      How many of these records have their pictures, and (key, reason) of those that cannot be
      drawn.

    Raises:
      ValueError: more records than there are, or data that is not as released.
    """
    source = benchmarks.open_source(row.source, trained.config["data"]["size"], data)
    if count > len(source):
        raise ValueError(f"count is {count}: {source.name} has {len(source)} records")
    (task,) = row.tasks
    guidance = score.guidance(task, text_guidance)
    starts = range(0, count or len(source), TOGETHER)[shard[0] :: shard[1]]
    parts = [range(s, min(s + TOGETHER, count or len(source))) for s in starts]
    bad: dict[str, str] = {}
    for part in progress(parts):
        queries = []
        for record in part:
            try:
                queries.append(_query(source, task, record, trained))
            except BadRecord as error:
                bad[error.key] = error.reason
        for n in steps:
            if all(saved.holds(folder, evaluation, task, n, q.record) for q in queries):
                continue
            replies = own_pictures.ask(
                trained.model,
                trained.params,
                [QuestionSet([Question(task, q.prompt)], q.example.references) for q in queries],
                shape=trained.shape,
                seed=int(np.random.SeedSequence((seed, part[0])).generate_state(1)[0] >> 1),
                groups=TOGETHER,
                steps=n,
                shift=trained.shift,
                text_guidance=guidance,
            )
            for query, (reply,) in zip(queries, replies, strict=True):
                saved.save(folder, query, n, reply.answer, evaluation)
    return sum(map(len, parts)) - len(bad), list(bad.items())


def _query(source: Source, task: str, record: int, trained: Trained) -> Query:
    """A record's own words as a query; BadRecord where there are none, or too many."""
    example = source.example(record, task)
    prompt = str(example.words[_WORDS[task]]).strip()
    try:
        own_pictures.check([Question(task, prompt)], trained.model.text_length, trained.shape)
    except ValueError as error:
        raise BadRecord(example.key, str(error)) from error
    picture = example.references[0] if example.references else None
    return Query(record, example, prompt, example.valid.shape, lambda: example.label, picture)

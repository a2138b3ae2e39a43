"""A judge of whether a phrase is in a picture at all (`plans.How.present`).

What it finds absent is not drawn, and where it finds nothing, nothing is asked. Its answers are
scored beside what is drawn: a right "yes" earns nothing there where the generator draws nothing.
"""

from collections.abc import Callable, Sequence, Set
from typing import Any

import numpy as np

from vision_banana.evaluation import plans, released_metrics, units
from vision_banana.evaluation.plans import Plan, Present, Query
from vision_banana.metrics import presence
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import colors
from vision_banana.tasks.task import Answer, Example, Task

JUDGED = ("instance_segmentation", "referring_segmentation")
# In an answer: (1, P) bool, whether each of the example's P phrases is in the picture.
SAID = "said_present"


def heard(task: Task, query: Query, present: Present | None, ask: Callable[[], Plan]) -> Plan:
    """The plan for a question, with what a judge finds absent left out of the answer.

    Args:
      task: what is asked.
      query: the question.
      present: the judge; None where there is none.
      ask: makes the plan for the question by itself.

    Returns:
      `ask()` where there is no judge, or no phrase to judge. Else a plan whose answer holds `SAID`
      and shows the background, with confidence 1, for every phrase that is not there; it asks
      nothing where none is.
    """
    if present is None or query.picture is None or not query.sought:
        return ask()
    said = np.array([present(query.picture, phrase) for phrase in query.sought], bool)
    if not said.any() and not query.unasked:
        return Plan([], lambda answers: {**_nothing(task, query), SAID: said[None]})
    asked = ask()
    named = plans.phrases(query.example)  # as the generator is asked
    absent = {colors.normalise(x) for x, there in zip(named, said, strict=True) if not there}
    return Plan(
        asked.queries, lambda answers: {**_blanked(asked.join(answers), absent), SAID: said[None]}
    )


def unanswered(query: Query) -> Plan:
    """The plan for a question that cannot be put: nothing, and no confidence in it (NaN)."""
    names = tuple(map(colors.normalise, plans.phrases(query.example)))
    if query.example.task == "instance_segmentation":
        nothing: Answer = {"ids": np.zeros((1, *query.shape), np.int32)}
    else:
        nothing = {"masks": np.zeros((1, len(names), *query.shape), bool), "names": [names]}
    nothing["confidence"] = np.full((1, *query.shape), np.nan, np.float32)
    return Plan([], lambda answers: nothing)


def _nothing(task: Task, query: Query) -> Answer:
    answer = task.read(np.zeros((1, *query.shape, 3), np.float32), [query.prompt])
    name = units.unit_of(answer)
    nothing = units.changed(answer, **{name: np.zeros_like(np.asarray(answer[name]))})
    nothing["confidence"] = np.ones((1, *query.shape), np.float32)
    return nothing


def _blanked(answer: Answer, absent: Set[str]) -> Answer:
    """An answer about regions without those that are absent; any other as it is."""
    if "masks" not in answer:
        return answer
    masks = np.array(answer["masks"])
    places = [k for k, name in enumerate(answer["names"][0]) if name in absent]
    gone = masks[:, places].any(1)
    masks[:, places] = False
    sure = np.where(gone, 1, np.asarray(answer["confidence"])).astype(np.float32)
    return units.changed(answer, masks=masks, confidence=sure)


def scored(task: Task) -> Task:
    """The task with `judge_accuracy` and `judge_MCC`, those of a judge's own answers.

    NaN where an answer holds none. Tasks that no judge is asked about stay as they are.
    """
    if task.name not in JUDGED:
        return task
    better = {f"judge_{name}": 1.0 for name in ("accuracy", "MCC")}
    return task._replace(metric=lambda: _beside(task.metric()), perfect={**task.perfect, **better})


def _beside(drawn: Metric) -> Metric:
    """A metric of what is drawn with that of what was said; the state is the pair of theirs."""
    yes_no = presence.presence()

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        of_drawn, of_said = state
        for said, example in zip(answer.get(SAID, ()), examples, strict=SAID in answer):
            of_said = yes_no.update(of_said, said, released_metrics.is_there(example, said))
        return drawn.update(of_drawn, answer, examples), of_said

    def compute(state: Any) -> dict[str, float]:
        said = {f"judge_{name}": x for name, x in yes_no.compute(state[1]).items()}
        return {**drawn.compute(state[0]), **said}

    return Metric(
        lambda: (drawn.init(), yes_no.init()),
        update,
        lambda a, b: (drawn.merge(a[0], b[0]), yes_no.merge(a[1], b[1])),
        compute,
    )

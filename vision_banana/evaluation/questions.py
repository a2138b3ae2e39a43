"""Questions about a picture of one's own: what to ask where nothing is said, and what is asked.

A model knows nothing of tasks, it follows the words; but to read its picture back into numbers the
task must be known, so it is recognised from the wording that the tasks' prompts use.
"""

import difflib
import re
from typing import NamedTuple

from vision_banana.tasks import TASKS, color_grammar, color_prompts, colors

# What is asked where only the task is given, in words that the embedded scenes teach.
DEFAULTS = {
    "depth": "generate a metric depth map of this image",
    "surface_normals": "generate a surface normal map of this image",
    "semantic_segmentation": 'Segment this image: {"sky": "cyan", "ground": "green", '
    '"floor": "brown", "wall": "yellow", "cube": "red", "sphere": "blue", "background": "black"}',
    "instance_segmentation": "Generate an instance segmentation visualization of this image. "
    "Each object is colored differently.",
    "referring_segmentation": "A segmentation map image. The largest object is rendered red. "
    "The background is black.",
    "image_generation": "a red cube left of a blue sphere in a room",
    "image_editing": "change the background to grass under a blue sky",
}
TWO_PICTURES = "give the background of the second picture to the first"

# What else people call the tasks.
ALIASES = {
    "metric depth": "depth",
    "depth map": "depth",
    "normals": "surface_normals",
    "normal map": "surface_normals",
    "segmentation": "semantic_segmentation",
    "instances": "instance_segmentation",
    "regions": "referring_segmentation",
    "edit": "image_editing",
    "generate": "image_generation",
}
LOOKS = {"image_generation": 0, "image_editing": 2}  # how many pictures; 1 for others
SAYS = {"image_generation": "draw", "image_editing": "change"}  # what a prompt says; "ask" else
NEAR = 0.75  # similarity above which a word is taken for a misspelt task

_DEPTH = re.compile(
    r"(?<!\bin[ -])\bdepths?\b(?![ -]of[ -]field)|\bhow (?:far|deep)\b|\bdistance from the camera\b"
)
_NORMALS = re.compile(
    r"\bnormals\b|\bsurface normal\b|\bnormal (?:maps?|vectors?|estimation)\b"
    r"|\bwhich way every surface\b"
)
_INSTANCES = re.compile(
    r"\binstances?\b|\bdifferently\b"
    r"|\b(?:different|own|unique|distinct)(?: \w+)? colou?rs?\b"
)
# "make the car a different colour" asks for an edit, "make each car a different colour" does not.
_ONE_COLOR = re.compile(
    r"^(?!.*\b(?:each|every|all|instances?|differently)\b).*\ba different colou?r\b"
)
_POLITE = (
    r"^(?:please,? |(?:now|then),? |(?:could|can|would) you |edit the picture: "
    r"|in (?:this|the) (?:image|picture|photo),? )*+"
)
_EDIT = re.compile(
    rf"{_POLITE}(?:make|turn|change|remove|delete|erase|take|add|insert|put|place|move|replace|swap|give"
    r"|recolou?r|convert|transform|edit)\b"
)
# "place mat: red, plate: blue" is a legend, whatever verb its first name begins with.
_LISTED = re.compile(
    rf"{_POLITE}(?!\w+ (?:the|an?|this|all|it|every|each|my)\b)[^:=,;]+[:=][^:=,;]+[,;\n]"
)
# Of a phrase with a colour only these words mean a task: "depth map where near", not "depth gauge".
_OF_A_TASK = re.compile(r"\b(?:depth|normal) maps?\b|\bmetric depth\b|\bnormals\b|\bhow far\b")
_PAINT = re.compile(rf"{_POLITE}paint\b")
_LEGEND = re.compile(rf"[<(#]|\b{color_grammar.BACKGROUND}\b")
_SEMANTIC = re.compile(r"\bsemantic\b|\blabel every pixel\b|\bclass(?:es)?\b|\bcategor")
_REFERRING = re.compile(r"\b(?:masks?|highlight|referring|corresponds? to)\b")
_SEGMENT = re.compile(r"^(?:please,? )?segment\b")
_SEGMENTATION = re.compile(r"\b(?:segment\w*|mark|regions?|areas?)\b")
_AS_EDIT = "give task='image_editing' (or --task image_editing)"


class Question(NamedTuple):
    """A task and what is asked."""

    task: str
    prompt: str


def default(task: str, pictures: int = 1) -> Question:
    """The question that stands for a task.

    Raises:
      ValueError: an unknown task, one that does not fit the number of pictures, or one without a
        question of its own.
    """
    check(task, pictures)
    if task == "image_editing" and pictures == 2:
        return Question(task, TWO_PICTURES)
    if task not in DEFAULTS:
        raise ValueError(f"{task} has no question of its own: give a prompt that asks for it")
    return Question(task, DEFAULTS[task])


def named(words: str) -> str | None:
    """The task of that name ("surface normals", "surface_normals", "normals"), None if none is."""
    plain = " ".join(words.lower().replace("_", " ").replace("-", " ").split())
    return _names().get(plain)


def choose(prompt: str | None, pictures: int, task: str | None = None) -> Question:
    """What is asked, and of which task.

    Args:
      prompt: free text, or a task's name, which stands for the task's own question.
      pictures: how many reference pictures there are.
      task: the task's name, where the wording shall not decide; without a prompt, its own
        question is asked.

    Raises:
      ValueError: an unknown task, one that does not fit the number of pictures, or one without a
        question of its own that is named alone; a prompt that is no text, is empty or cannot be
        read, or from which the task is not clear.
    """
    if task is not None and not isinstance(task, str):
        raise ValueError(f"task is {task!r}; it must be one of {', '.join(TASKS)}")
    if prompt is not None:
        check_prompt(prompt, task or (None if pictures else "image_generation"))
    if task is not None:
        task = named(task) or task
        if prompt is None or named(prompt) == task:
            return default(task, pictures)
        check(task, pictures)
        return Question(task, prompt)
    if prompt is None:
        raise ValueError("nothing is asked: give a prompt or a task")
    meant = named(prompt)
    if meant:
        return default(meant, pictures)
    task = recognise(prompt, pictures)
    check(task, pictures)
    return Question(task, prompt)


def _names() -> dict[str, str]:
    return {**{name.replace("_", " "): name for name in TASKS}, **ALIASES}


def everything(pictures: int) -> list[Question]:
    """A question for each task that can look at so many pictures; of two these are edits alone.

    Tasks without a question of their own are left out.

    Raises:
      ValueError: none, or more than two pictures.
    """
    check("image_editing", pictures)
    return [default(t, pictures) for t in TASKS if t in DEFAULTS and pictures <= LOOKS.get(t, 1)]


def check_prompt(prompt: str, task: str | None = None) -> None:
    """Raises ValueError for no text or an empty one; says what a prompt of the task is for."""
    said = SAYS.get(task or "", "ask")
    if not isinstance(prompt, str):
        raise ValueError(f"the prompt {prompt!r} is no text: say what to {said} in words")
    if not prompt.strip():
        raise ValueError(f"the prompt {prompt!r} is empty: say what to {said}")


def check(task: str, pictures: int) -> None:
    """Checks that a task exists and fits the number of pictures; raises ValueError if not."""
    if task not in TASKS:
        near = difflib.get_close_matches(task.lower().replace("_", " "), _names(), 1)
        meant = f"did you mean {_names()[near[0]]!r}? It" if near else "it"
        raise ValueError(f"task is {task!r}; {meant} must be one of {', '.join(TASKS)}")
    if pictures > 2:
        raise ValueError(f"{pictures} pictures were given; the model looks at two at most")
    if task == "image_generation" and pictures:
        raise ValueError(
            "image_generation draws from words alone; leave the picture out, or ask for "
            "image_editing"
        )
    if task != "image_generation" and not pictures:
        raise ValueError(f"{task} is about a picture; give one")
    if pictures > LOOKS.get(task, 1):
        raise ValueError(f"{task} looks at one picture; {pictures} were given: leave one out")


def recognise(prompt: str, pictures: int) -> str:
    """The task that a prompt asks for.

    Without a picture it is image_generation. Where an instruction and a segmentation read alike
    ("paint the cube red"), several colours, a background or a colour in figures mean segmentation;
    labels and regions are decoded by the same colours. Words within phrases that have a colour
    ("depth gauge: red, valve: blue", "segment the depth gauge in red") mean no other task.

    Args:
      prompt: what is asked.
      pictures: how many reference pictures there are.

    Returns:
      A task's name; of two pictures image_editing where no other task's words are found.

    Raises:
      ValueError: no task's words are found, or the prompt reads like a legend, and one of its
        colours cannot be read.
    """
    words = prompt.lower().strip()
    if not pictures:
        return "image_generation"
    try:
        phrases, mistake = _colored(prompt), None
    except ValueError as error:
        phrases, mistake = [], error
    legend = len(phrases) > 1
    said = "" if _EDIT.search(words) and _ONE_COLOR.search(words) else words
    for phrase in phrases if legend or _SEGMENT.search(words) else ():
        if not _OF_A_TASK.search(phrase):
            said = re.sub(rf"(?<!\w){re.escape(phrase)}(?!\w)", " ", said)
    for task, pattern in (
        ("depth", _DEPTH), ("surface_normals", _NORMALS), ("instance_segmentation", _INSTANCES),
    ):  # fmt: skip
        if pattern.search(said):
            return task
    if _EDIT.search(words) and not (legend and _LISTED.match(words)):
        return "image_editing"
    if mistake:
        raise mistake
    if _PAINT.search(words) and len(phrases) < 2 and not _LEGEND.search(words):
        return "image_editing"
    if _SEMANTIC.search(words):
        return "semantic_segmentation"
    if _REFERRING.search(words) or len(phrases) == 1:
        return "referring_segmentation"
    if not phrases:
        segment = _SEGMENTATION.search(words)
        return "semantic_segmentation" if segment else _unclear(prompt, pictures)
    plain = all(" " not in phrase for phrase in phrases)
    return "semantic_segmentation" if plain else "referring_segmentation"


def _unclear(prompt: str, pictures: int) -> str:
    """The task of a prompt without any task's words: an edit if there are two pictures."""
    near = difflib.get_close_matches(prompt.lower().strip(), _names(), 1, NEAR)
    if near:
        raise ValueError(
            f"{prompt!r} is no task; did you mean {near[0]!r}? If an edit is meant, {_AS_EDIT}"
        )
    if pictures == 2:
        return "image_editing"
    about = ", ".join(task for task in TASKS if task != "image_generation")
    raise ValueError(
        f"the task is not clear from {prompt!r}; give task=... (or --task), one of {about}"
    )


def _colored(prompt: str) -> list[str]:
    """The phrases that a prompt gives a colour, without the background."""
    try:
        return [name for name, _ in color_prompts.pairs(prompt) if name != colors.BACKGROUND]
    except ValueError as error:  # a legend with a mistake must not pass for an edit
        raise ValueError(f"{error}; if an edit is meant, {_AS_EDIT}") from error

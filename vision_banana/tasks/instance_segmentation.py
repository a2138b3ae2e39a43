"""Instance segmentation as a picture: every instance of one phrase in a colour of its own.

The model chooses the colours (`instance_colors`), since the number of instances is unknown; the
background is black unless the prompt says otherwise. Back to ids: `instance_decoder`. A prompt of
several phrases ("each cube and each sphere") is asked for one phrase at a time (`apart`), and the
answers are merged (`joined`).
"""

import colorsys
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy import optimize

from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import color_grammar, color_prompts, instance_colors, instance_decoder
from vision_banana.tasks import colors as colors_lib
from vision_banana.tasks.task import Answer, Example, Task

decode = instance_decoder.decode

BLACK = (0, 0, 0)
# {} is the phrase.
QUESTIONS = (
    "Generate an instance segmentation visualization of this image. "
    "Each {} is colored differently.",
    "Instance segmentation of this image. Each {} is colored differently.",
    "Instance segmentation. Each {} has its own color.",
    "Instance segmentation of every {}.",
    "Color each {} differently.",
    "Segment each {} in a different color.",
)
# {} is the colour. A sentence of its own, so that words of the phrase are not taken for a colour.
BACKGROUNDS = (
    "Background is {}.",
    "The background is {}.",
    "Background: {}.",
    "The background is rendered {}.",
)
# How often a prompt names no background (then black), names black, or names another colour.
BACKGROUND_SHARES = (0.5, 0.2, 0.3)
NAMED = tuple(
    color
    for color in (colors_lib.color_names.CSS[name] for name in colors_lib.COMMON)
    if instance_colors.is_apart(np.array(color)) and color != BLACK
)
# A phrase may speak of a background ("a dog on a white background"): one is stated only in a clause
# of its own, which begins a sentence or follows a comma, an "and", or what ends the question.
_OWN = "(?:different|distinct|unique|own)"
_ASKED = rf"\b(?:differently|{_OWN}(?:\s\w+)?\scolou?rs?)\b"
_ASKS = r"\b(?:each|every|instances?|segment\w*)\b"
_ASKS_OR_ASKED = re.compile(f"{_ASKS}|{_ASKED}", re.IGNORECASE)
_BEHIND = rf"(?:{color_grammar.BACKDROP}|elsewhere|everywhere\s+else)"  # "white elsewhere"
_NAME = rf"(?:(?:pure|solid|light|dark)\s+)*(?:{'|'.join(colors_lib.color_names.CSS)})\b"
_HAS_COLOR = (
    rf"\s*(?:[:=(<\[#→]|->|\b(?:{color_grammar.VERB}|rgb|with|to)\b"
    rf"|\bin\b(?!\s+(?:the|this|front)\b)|\b{_NAME}\W*$)"
)
_WORD = r"(?!(?:in|of|on|with|for)\b)[\w-]+"
_COLOR = rf"(?:(?:rgb\s*)?[(<\[][^)>\]]*[)>\]]|#\w+|{_WORD}(?:\s+{_WORD}){{0,2}})"
_STATES_BACKGROUND = re.compile(
    rf"(?P<question>|.*{_ASKED}|(?P<open>.*?)(?=,|\s(?:and|while|but)\s)(?!.*{_ASKED}))"
    r"(?:[\s,]|\b(?:and|while|but|with|use|please|make|paint|colou?r|keep|leave|fill|set)\b)*"
    rf"(?P<clause>\b(?:the\s+)?{color_grammar.BACKGROUND}{_HAS_COLOR}.*"
    rf"|\b(?:(?:on|against|over)\s+)?(?:(?:an?|the)\s+|(?={_NAME}))"
    rf"(?P<color>{_COLOR})\s+{_BEHIND}(?:\s*[,.;:!?].*|$)"
    # No question, and it speaks of a background and a colour in another way.
    rf"|(?(open)(?!))(?!.*(?:{_ASKS}|\ball\b))"
    rf"(?=.*(?:[(<\[#]|\b{_NAME})).*\bbackground\b.*)",
    re.IGNORECASE,
)
_SENTENCE_ENDS = ".;!?"
# "each cube, each cone and each sphere": every phrase has a word of its own for all of its kind.
_EACH = r"\b(?:each|every)\s+(?:single\s+|of\s+the\s+)?"
# "every dog, each in its own color", "each of them": no further phrase.
_NO_PHRASE = (
    rf"(?:in|with|by|an?|its|their|one|ones|them|which|these|instances?|{_OWN}|{color_grammar.DRAWN}"
    rf"|{color_grammar.VERB}|differently|separately)\b"
)
_NEXT = re.compile(
    rf"(?:\s*,\s*(?:and\s+)?|\s+(?:and|&)\s+)(?P<each>{_EACH})(?!(?:of\s+)?{_NO_PHRASE})",
    re.IGNORECASE,
)
_PHRASE_END = re.compile(
    rf"(?<!\bthat)(?<!\bwhich)[\s,]+(?:{color_grammar.VERB}|differently|separately|apart)\b"
    rf"|\s+(?:(?:in|with|by)\s+)?(?:an?\s+|the\s+|its\s+|their\s+)*(?:{_OWN}\s+)?colou?rs?\b"
    rf"|[\s,]+(?:(?:and|&)\s+)?{_EACH}"
    rf"|[\s,{_SENTENCE_ENDS}]*(?::|$)",
    re.IGNORECASE,
)
_WRITE = "write for example 'Background is black.' or 'Background is RGB(88, 50, 82).'"
NAME_SHARE = 0.65  # of the written backgrounds; figures take more tokens
FIGURES = ("rgb", "tuple", "angle", "hex")

MIN_PIXELS = 24  # smaller truths are not asked for
COVERED = 0.5  # of an instance, by surer ones of other phrases, above which it is one of those
THRESHOLDS = np.linspace(0.05, 0.95, 19)  # of the blind map, as shares of its maximum


def prompt(example: Example, rng: np.random.Generator) -> str:
    """Asks for the instances of `words["phrase"]`, with or without a background.

    A phrase "cat, every dog and every bird" asks for three; see `phrases`.
    """
    text = QUESTIONS[rng.integers(len(QUESTIONS))].format(example.words["phrase"])
    return _on_background(text, rng)


def again(text: str, rng: np.random.Generator) -> str:
    """Asks the same with another background, which changes the instances' colours too."""
    stated = [(s, _STATES_BACKGROUND.match(s)) for s in _sentences(text)]
    kept = " ".join(match["question"] if match else s for s, match in stated).strip()
    return _on_background(kept, rng) if kept else text


def _on_background(text: str, rng: np.random.Generator) -> str:
    kind = rng.choice(3, p=BACKGROUND_SHARES)
    if kind == 0:
        return text
    color: Sequence[int] = BLACK
    named = rng.random() < NAME_SHARE
    if kind == 2:
        color = NAMED[rng.integers(len(NAMED))] if named else _free_background(rng)
    notation = "name" if named else FIGURES[rng.integers(len(FIGURES))]
    written = colors_lib.write_color(color, notation)
    end = "" if text.rstrip().endswith(tuple(_SENTENCE_ENDS)) else "."
    return f"{text}{end} {BACKGROUNDS[rng.integers(len(BACKGROUNDS))].format(written)}"


def _free_background(rng: np.random.Generator) -> tuple[int, int, int]:
    while True:
        color = rng.integers(0, 256, 3)
        if instance_colors.is_apart(color):
            r, g, b = (int(c) for c in color)
            return r, g, b


def read_background(text: str) -> tuple[int, int, int]:
    """Returns the background that a prompt names, (r, g, b) in 0..255; black where it names none.

    It is named in a clause of its own ("Background: white.", "..., and the background is white.",
    "All other pixels are white.", "... differently on a white background."), in the words in which
    legends name it; other words on a background belong to the phrase.

    Raises:
      ValueError: the prompt is empty, its background is no colour that can be read, it names two,
        or a sentence after the question holds a colour and states no background.
    """
    if not text.strip():
        raise ValueError("the prompt is empty; name what to segment")
    found, asked = set(), False
    for sentence in _sentences(text):
        stated = _STATES_BACKGROUND.match(sentence)
        asks = _ASKS_OR_ASKED.search(sentence)
        if stated:
            found.add(_background_of(stated))
        # The phrase may hold colour words ("red cube"); what follows the question may not.
        elif asked and not asks and color_prompts.holds_color(sentence):
            raise ValueError(f"the colour in {sentence!r} is not read; {_WRITE}")
        asked = asked or bool(asks)
    if len(found) > 1:
        raise ValueError(f"the prompt {text!r} names the backgrounds {sorted(found)}: name one")
    return found.pop() if found else BLACK


def _sentences(text: str) -> list[str]:
    return re.split(rf"(?<=[{_SENTENCE_ENDS}])\s+|\s*\n\s*", text.strip())


def _background_of(stated: re.Match[str]) -> tuple[int, int, int]:
    if stated["color"]:
        return colors_lib.color_names.read_color(stated["color"])
    found = set(color_prompts.pairs(stated["clause"]))
    if {name for name, _ in found} != {colors_lib.BACKGROUND} or len(found) > 1:
        raise ValueError(f"no background colour can be read in {stated['clause']!r}; {_WRITE}")
    return found.pop()[1]


def phrases(text: str) -> tuple[str, ...]:
    """What a prompt asks for, in its order: ("cube", "sphere") of "each cube and each sphere".

    Several phrases are read where each has an "each" or "every" of its own, parted by commas or
    "and"; of any other prompt none is.
    """
    return tuple(_parted(text))


def apart(text: str) -> list[str]:
    """The prompts that ask for each of a prompt's `phrases` alone; none where it has no several."""
    return list(_parted(text).values())


def _parted(text: str) -> dict[str, str]:
    """The prompt that asks for each phrase alone."""
    for sentence in _sentences(text):
        first = re.search(_EACH, sentence, re.IGNORECASE)
        joints = list(_NEXT.finditer(sentence, first.end())) if first else []
        if not first or not joints:
            continue
        stated = _STATES_BACKGROUND.match(sentence)
        until = len(stated["question"]) if stated and stated["question"] else len(sentence)
        begins = str.capitalize if first.group()[0].isupper() else str.lower
        heads = [begins(head) for head in (first.group(), *(joint["each"] for joint in joints))]
        starts = [first.end(), *(joint.end() for joint in joints)]
        ends = [*(joint.start() for joint in joints), until]
        said = [sentence[a:b] for a, b in zip(starts, ends, strict=True)]
        lengths = [found.start() if (found := _PHRASE_END.search(x)) else len(x) for x in said]
        before, _, after = text.partition(sentence)
        before += sentence[: first.start()]
        after = sentence[starts[-1] + lengths[-1] :] + after
        return {
            phrase[:length].strip(): f"{before}{head}{phrase[:length].strip()}{after}"
            for head, phrase, length in zip(heads, said, lengths, strict=True)
            if phrase[:length].strip()
        }
    return {}


def joined(text: str, answers: Sequence[Answer]) -> Answer:
    """One answer to a prompt of those to its `phrases`, batches of one.

    As Kirillov et al. (arXiv 1801.00868, section 7) merge instances: the surest first, each without
    what surer ones hold; one that they cover by more than half is left out. Confidence is that of
    the answer whose instance a pixel belongs to, and the least of all where it belongs to none.

    Returns:
      `ids` (1, H, W) int32, `confidence` (1, H, W) float32, and `names`, a list with one tuple: the
      phrase of each instance, of id k at place k - 1.
    """
    sure = np.stack([np.asarray(answer["confidence"])[0] for answer in answers])
    found = []
    for n, answer in enumerate(answers):
        drawn = np.asarray(answer["ids"])[0]
        for k in np.unique(drawn[drawn > 0]):
            mask = drawn == k
            found.append((float(sure[n][mask].mean()), n, mask))
    ids, confidence = np.zeros(sure.shape[1:], np.int32), sure.min(0)
    asked, names = phrases(text), []
    for _, n, mask in sorted(found, key=lambda one: -one[0]):
        free = mask & (ids == 0)
        if (mask & ~free).sum() > COVERED * mask.sum():
            continue
        names.append(asked[n])
        ids[free], confidence[free] = len(names), sure[n][free]
    return {"ids": ids[None], "names": [tuple(names)], "confidence": confidence[None]}


def encode(ids: np.ndarray, background: Any, colors: Any) -> np.ndarray:
    """Draws instances.

    Args:
      ids: (..., H, W) int, 0 = background; id k has the colour colors[..., k - 1, :].
      background: (..., 3) in [0, 1].
      colors: (..., N, 3) in [0, 1].

    Returns:
      (..., H, W, 3) float32 in [0, 1].

    Raises:
      ValueError: an id is negative or has no colour, or a colour is outside [0, 1].
    """
    ids = np.asarray(ids)
    background, colors = np.asarray(background, np.float32), np.asarray(colors, np.float32)
    count = colors.shape[-2]
    if ids.size and not 0 <= ids.min() <= ids.max() <= count:
        raise ValueError(
            f"ids reach from {ids.min()} to {ids.max()} and there are {count} colors; number "
            "the instances from 1 and give a color for each"
        )
    for name, value in (("background", background), ("colors", colors)):
        if not ((value >= 0) & (value <= 1)).all():
            raise ValueError(f"{name} has values outside [0, 1]; divide 8-bit colors by 255")
    lead = ids.shape[:-2]
    table = np.concatenate(
        [
            np.broadcast_to(background[..., None, :], (*lead, 1, 3)),
            np.broadcast_to(colors, (*lead, count, 3)),
        ],
        -2,
    )
    flat = np.broadcast_to(ids.reshape(*lead, -1, 1), (*lead, ids.shape[-2] * ids.shape[-1], 3))
    return np.take_along_axis(table, flat, -2).reshape(*ids.shape, 3)


def draw(example: Example, text: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draws the answer; see `Task.draw`. The colours depend on the label alone, not on `rng`."""
    del rng
    background = np.array(read_background(text))
    label = np.where(example.valid, example.label, 0)
    values, inverse = np.unique(np.append(label, 0), return_inverse=True)
    ids = inverse[:-1].reshape(label.shape)
    if values[0] < 0:
        raise ValueError(f"{example.key}: instance id {values[0]}; ids are 0 or more")
    placed = instance_colors.place(ids, len(values) - 1, background)
    rgb = encode(ids, background / 255, placed / 255)
    valid = np.asarray(example.valid, bool)
    return np.where(valid[..., None], rgb, np.float32(0.5)), valid.astype(np.float32)


def read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Decodes (B, H, W, 3) to `ids`, (B, H, W) int32, and `confidence`."""
    background = np.array([read_background(text) for text in prompts], np.float32) / 255
    ids, confidence = decode(jnp.asarray(rgb), jnp.asarray(background))
    return {"ids": ids, "confidence": confidence}


def metric(iou: float = 0.5, min_pixels: int = MIN_PIXELS) -> Metric:
    """F1 at an IoU, pooled over pictures; `update(state, answer, examples)`."""
    scores = segmentation.instance_f1(iou=iou, min_pixels=min_pixels)

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for ids, example in zip(np.asarray(answer["ids"]), examples, strict=True):
            state = scores.update(state, ids, example.label, valid=example.valid)
        return state

    return Metric(scores.init, update, scores.merge, scores.compute)


def blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """The best answer without a picture: where the phrase's instances often are, as one instance.

    Per phrase, the share of training pictures in which a pixel belongs to an instance,
    thresholded at the value of best F1 on those pictures. A phrase that was never seen gets the
    map of all phrases.

    Raises:
      ValueError: there are no examples, or they differ in size.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.words["phrase"]].append(example)
    everything = [example for group in groups.values() for example in group]
    if not everything:
        raise ValueError("blind: no training examples; give at least one")
    shapes = {example.label.shape for example in everything}
    if len(shapes) > 1:
        raise ValueError(f"blind: labels of sizes {sorted(shapes)}; resize them to one")
    maps = {phrase: _best_map(group) for phrase, group in groups.items()}
    common = _best_map(everything)

    def answer(asked: Sequence[Example]) -> Answer:
        ids = np.stack([maps.get(example.words["phrase"], common) for example in asked])
        return {"ids": ids.astype(np.int32), "confidence": np.ones(ids.shape, np.float32)}

    return answer


def _best_map(examples: Sequence[Example]) -> np.ndarray:
    """The thresholded frequency map of best F1 over examples, (H, W) bool."""
    known = np.sum([example.valid for example in examples], axis=0)
    inside = np.sum([example.valid & (example.label > 0) for example in examples], axis=0)
    frequency = inside / np.maximum(known, 1)
    masks = frequency >= THRESHOLDS[:, None, None] * max(frequency.max(), 1e-9)
    return masks[_single_instance_f1(masks, examples).argmax()]


def _single_instance_f1(masks: np.ndarray, examples: Sequence[Example]) -> np.ndarray:
    """F1 at IoU 0.5, (T,), of drawing each of the masks (T, H, W) as the only instance."""
    found, asked = np.zeros(len(masks)), 0
    flat = masks.reshape(len(masks), -1).astype(np.float32)
    for example in examples:
        ids = np.unique(example.label[example.valid])
        truth = (example.label.reshape(1, -1) == ids[ids > 0][:, None]) & example.valid.ravel()
        truth = truth[truth.sum(1) >= MIN_PIXELS].astype(np.float32)
        asked += len(truth)
        if len(truth):
            shared = flat @ truth.T
            area = flat @ example.valid.ravel().astype(np.float32)
            found += (shared / (area[:, None] + truth.sum(1) - shared)).max(1) >= 0.5
    return 2 * found / (len(examples) + asked)


def _match(ids: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Renumbers decoded ids as the true ones they overlap best; the others get ids of their own."""
    found, true, table = segmentation.contingency(ids, truth)
    pixels = table[1]
    overlap = pixels / (pixels.sum(1)[:, None] + pixels.sum(0) - pixels)
    overlap = np.where((found > 0)[:, None] & (true > 0), overlap, 0)
    renumbered = np.where(found > 0, -found, 0)
    for row, column in zip(*optimize.linear_sum_assignment(-overlap), strict=True):
        if overlap[row, column] > 0:
            renumbered[row] = true[column]
    return renumbered[np.searchsorted(found, ids)]


def picture(answer: Answer, i: int) -> np.ndarray:
    """The i-th answer with a clearly different hue for each instance, on black."""
    ids = np.asarray(answer["ids"][i])
    # Steps of the golden ratio: neighbouring numbers get far-apart hues.
    hues = [colorsys.hsv_to_rgb(0.618034 * k % 1, 0.85, 1.0) for k in range(int(ids.max()))]
    return np.array([(0.0, 0.0, 0.0), *hues], np.float32)[ids]


def error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """1 where a pixel is given to the wrong instance or background, NaN where unknown."""
    truth = np.asarray(example.label)
    matched = _match(np.asarray(answer["ids"][i]), np.where(example.valid, truth, 0))
    return np.where(example.valid, (matched != truth).astype(np.float32), np.nan)


TASK = Task(
    name="instance_segmentation",
    prompt=prompt,
    draw=draw,
    read=read,
    metric=metric,
    perfect={"F1": 1.0},
    blind=blind,
    picture=picture,
    error=error,
    again=again,
    right_below=0.5,
)

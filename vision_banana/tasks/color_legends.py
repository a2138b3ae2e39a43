"""Writing a legend, which phrase has which colour, in the forms that prompts are read in.

Whatever is written is read back before it is used: a phrase that one form would blur (one that
holds a comma, a colon or a colour word in an unlucky place) is written in another, in the end in
a map with quoted keys, which takes any text.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from vision_banana.tasks import colors
from vision_banana.tasks.color_names import RGB

# A form writes (phrase, colour) pairs and, or None, the background's colour.
Form = Callable[[list[tuple[str, str]], str | None, np.random.Generator], str]

FIGURES = ("tuple", "angle", "rgb", "hex")


def token_estimate(text: str) -> int:
    """About how many tokens a prompt has: a word, a digit, a hex digit and a mark count one each.

    The tokenizer itself is out of a task's reach: a task knows nothing of the model.
    """
    hex_digits = sum(len(code) for code in re.findall(r"#[0-9a-fA-F]+", text))
    rest = re.sub(r"#[0-9a-fA-F]+", " ", text)
    return hex_digits + len(re.findall(r"[^\W\d_]+|\d|[^\w\s]", rest))


def compose(
    phrases: Sequence[str],
    forms: Sequence[Form],
    rng: np.random.Generator,
    named_share: float,
    avoid: Sequence[RGB] = (),
    max_tokens: int = 60,
) -> str:
    """Draws a colour for each phrase and writes the legend in a random form.

    Args:
      phrases: what to colour, in order; "background" among them states the background.
      forms: what to choose from.
      rng: source of every choice.
      named_share: how often the colours are all named ones; a legend in figures that gets longer
        than `max_tokens` is drawn again with names.
      avoid: colours to keep away from.
      max_tokens: see `write`.

    Returns:
      A prompt.
    """
    if rng.random() >= named_share:
        palette = colors.draw_palette(len(phrases), rng, named=False, avoid=avoid)
        legend = dict(zip(phrases, palette, strict=True))
        text = write(legend, forms, rng, pick(FIGURES, rng), max_tokens)
        if token_estimate(text) <= max_tokens:
            return text
    legend = dict(zip(phrases, colors.draw_palette(len(phrases), rng, avoid=avoid), strict=True))
    return write(legend, forms, rng, "name" if rng.random() < 0.92 else "both", max_tokens)


def write(
    legend: Mapping[str, RGB],
    forms: Sequence[Form],
    rng: np.random.Generator,
    notation: str = "name",
    max_tokens: int = 60,
) -> str:
    """Writes a legend as a prompt in a random form.

    Args:
      legend: phrase -> (r, g, b) in 0..255; "background" among them states the background.
      forms: what to choose from.
      rng: source of the choice.
      notation: see `colors.write_color`; it falls back to names where the text gets too long and
        every colour has one.
      max_tokens: the length to keep to, as `token_estimate` counts, if any form does.

    Returns:
      A text that `colors.parse_prompt` reads as `colors.join_background(legend)`.

    Raises:
      ValueError: no form can hold these phrases (an empty one, one that stands twice, one that is
        "everything else"), or the colours are too near each other.
    """
    wanted = {colors.normalise(phrase): color for phrase, color in legend.items()}
    if len(wanted) < len(legend):
        raise ValueError(f"two of the phrases {list(legend)} are the same: name each once")
    wanted = colors.join_background(wanted)
    notations = [notation]
    if notation != "name" and all(colors.name_of(c) is not None for c in legend.values()):
        notations.append("name")
    shortest: str | None = None
    for how in notations:
        pairs = [
            (phrase, _spoken(colors.write_color(color, how), how, rng))
            for phrase, color in legend.items()
            if phrase != colors.BACKGROUND
        ]
        background = legend.get(colors.BACKGROUND)
        stated = None if background is None else colors.write_color(background, how)
        for i in rng.permutation(len(forms)):
            text = forms[i](pairs, stated, rng)
            tokens = token_estimate(text)
            if tokens > max_tokens and shortest and tokens >= token_estimate(shortest):
                continue
            if not _reads_back(text, wanted):
                continue
            if tokens <= max_tokens:
                return text
            shortest = text
        shortest = shortest or _last_resort(pairs, stated, wanted)
    assert shortest is not None  # the last resort gave one or raised
    return shortest


def _last_resort(
    pairs: list[tuple[str, str]], background: str | None, wanted: dict[str, RGB]
) -> str:
    text = _braces([*pairs, *_background_pair(background)], True, True)
    if colors.parse_prompt(text) != wanted:
        raise ValueError(f"the phrases {[p for p, _ in pairs]} cannot be told apart in a prompt")
    return text


def _reads_back(text: str, wanted: dict[str, RGB]) -> bool:
    try:
        return colors.parse_prompt(text) == wanted
    except ValueError:
        return False


def _spoken(color: str, notation: str, rng: np.random.Generator) -> str:
    """Now and then "solid red" or "pure red" for "red"."""
    if notation != "name":
        return color
    return str(rng.choice([color, f"solid {color}", f"pure {color}"], p=[0.9, 0.05, 0.05]))


def pick(choices: Sequence[str], rng: np.random.Generator) -> str:
    """One of the wordings."""
    return choices[int(rng.integers(len(choices)))]


def the(phrase: str) -> str:
    """The phrase with an article: "cat" -> "the cat", "the cat" and "a cat" stay."""
    return phrase if re.match(r"(?:the|an?)\s", phrase, re.IGNORECASE) else f"the {phrase}"


def _background_pair(background: str | None) -> list[tuple[str, str]]:
    return [] if background is None else [(colors.BACKGROUND, background)]


def _braces(pairs: list[tuple[str, str]], quote_keys: bool, quote_values: bool) -> str:
    keys = [json.dumps(k, ensure_ascii=False) if quote_keys else k for k, _ in pairs]
    values = [f'"{v}"' if quote_values else v for _, v in pairs]
    return "{" + ", ".join(f"{k}: {v}" for k, v in zip(keys, values, strict=True)) + "}"


def map_form(leads: Sequence[str]) -> Form:
    """`{"cat": "red", "background": yellow}`, quotes at random, after one of `leads`."""

    def form(pairs: list[tuple[str, str]], background: str | None, rng: np.random.Generator) -> str:
        quote_keys, quote_values = rng.random(2) < 0.5
        items = [*pairs, *_background_pair(background)]
        return f"{pick(leads, rng)} {_braces(items, bool(quote_keys), bool(quote_values))}".strip()

    return form


def list_form(leads: Sequence[str]) -> Form:
    """`cat: red, sky: blue` or `cat = red; sky = blue`, after one of `leads`."""

    def form(pairs: list[tuple[str, str]], background: str | None, rng: np.random.Generator) -> str:
        sign = pick((": ", " = "), rng)
        items = [f"{p}{sign}{c}" for p, c in [*pairs, *_background_pair(background)]]
        return f"{pick(leads, rng)} {pick((', ', '; '), rng).join(items)}".strip()

    return form


def sentence_form(leads: Sequence[str], subjects: Sequence[str], verbs: Sequence[str]) -> Form:
    """A sentence for each phrase: "The macaron cakes are represented by (255, 255, 0)."

    Args:
      leads: what may stand first ("A segmentation map image.").
      subjects: ways to put the phrase, with one `{}` ("The area that corresponds to {}").
      verbs: ways to put the colour, with one `{}` ("is rendered in {}").
    """

    def form(pairs: list[tuple[str, str]], background: str | None, rng: np.random.Generator) -> str:
        subject, verb, joint = pick(subjects, rng), pick(verbs, rng), pick((". ", "; "), rng)
        said = [f"{subject.format(the(phrase))} {verb.format(c)}" for phrase, c in pairs]
        if background is not None:
            rest = pick(("the background is {}", "everything else is {}"), rng).format(background)
            said.insert(len(said) if "else" in rest else int(rng.integers(2)) * len(said), rest)
        if joint == ". ":
            said = [clause[0].upper() + clause[1:] for clause in said]
        text = joint.join(said)
        return f"{pick(leads, rng)} {text[:1].upper()}{text[1:]}.".strip()

    return form


def command_form(verbs: Sequence[str]) -> Form:
    """One command for all: "Paint the cat red, the dog blue and everything else black."

    Args:
      verbs: ways to ask, "verb" alone or "verb|word before the colour" ("segment|in").
    """

    def form(pairs: list[tuple[str, str]], background: str | None, rng: np.random.Generator) -> str:
        verb, _, before = pick(verbs, rng).partition("|")
        before = f"{before} " if before else ""
        items = [f"{the(phrase)} {before}{c}" for phrase, c in pairs]
        end = ""
        if background is not None and background.isalpha() and rng.random() < 0.5:
            end = f" on a {background} background"
        elif background is not None:
            items.append(f"{pick(('the background', 'everything else'), rng)} {before}{background}")
        listed = items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
        return f"{verb} {listed}{end}{pick(('.', ''), rng)}"

    return form

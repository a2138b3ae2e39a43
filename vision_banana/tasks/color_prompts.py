"""Which phrase a prompt gives which colour, in all the forms in which people write it.

Two readers. Maps in braces are read item by item, and a quoted key is taken as it stands, so any
text can be a key. Everything else is read sentence by sentence: find the colours that stand where
a value can stand, and take the words between one value and the next, less the words that join
them, as the phrase. Phrases are open text that may hold colour words themselves ("the man in pink
t shirt"), so a colour *name* counts only at the end of a clause and after a word that joins a
phrase to its value (`:`, `=`, "is rendered", "in" after "segment"); figures always count. The
words themselves stand in `color_grammar`.
"""

import json
import re
from typing import NamedTuple, NoReturn

from vision_banana.tasks import color_grammar as grammar
from vision_banana.tasks import color_names
from vision_banana.tasks.color_names import RGB

Pair = tuple[str, RGB]

_SET_ASIDE = re.compile("\0(\\d+)\0")

_BULLET = re.compile(r"^\s*(?:[-*•]|(?P<number>\(?\d{1,2}[.)]))\s+")
_NUMBER = re.compile(r"\s\(?\d{1,2}[.)]\s+")
_SENTENCE_END = re.compile(r"[;!?\n]+|\.(?=\s|$)")
_TOKEN = re.compile("\0\\d+\0|[^\\W\\d_]+(?:['’-][^\\W\\d_]+)*|\\d+|[^\\s\\w]|_")
_AND = ("and", "while", "but", "&")
_BINDING = re.compile(r"(?<!\d)[:=]+(?=\s*[^\s>])|[:=]+(?=\s*[^\s>\d])")
_BARE = re.compile(r"^(?:[\s,&]|and\b)+|(?:[\s,&]|\band)+$")
# What ends with a colon in front of a legend and has no colour itself: "Segment this image:".
_LEGEND_LEAD = re.compile(
    r"^[^:=]*\b(?:segment\w*|masks?|map|image|picture|photo|colou?rs?|palette|legend|key|labels?"
    r"|class(?:es)?|categor(?:y|ies)|regions?|areas?|following|task|prompt|instructions?)\b[^:=]*:"
)


class _Value(NamedTuple):
    """A colour in a sentence: where it starts and ends, and whether it is in figures.

    The colour is None where the word is one of `color_names.UNLISTED`.
    """

    start: int
    end: int
    color: RGB | None
    figure: bool


def pairs(text: str) -> list[Pair]:
    """Reads every (phrase, colour) of a prompt, in the order of the text.

    Raises:
      ValueError: something that stands where a colour must stand is none.
    """
    found: list[Pair] = []
    prose = []
    text = text.replace("\0", " ").replace("\r", "\n")
    while "{" in text:
        before, _, rest = text.partition("{")
        inside, text = _split_at_brace(rest)
        prose.append(before)
        found += _read_map(inside)
    prose.append(text)
    for part in prose:
        found += _read_prose(part)
    return found


def holds_color(text: str) -> bool:
    """Whether a text holds a colour, in figures or by name, wherever it stands."""
    return bool(color_names.FIGURE.search(text)) or _holds_name(text.lower())


def _split_at_brace(text: str) -> tuple[str, str]:
    """Splits at the first closing brace outside double quotes (at any, where quotes are odd)."""
    quoted = re.match(r'(?:[^"}]|"(?:[^"\\]|\\.)*")*\}', text)
    end = quoted.end() - 1 if quoted else text.find("}")
    return (text, "") if end < 0 else (text[:end], text[end + 1 :])


def _set_figures_aside(text: str) -> tuple[str, list[str]]:
    """Puts a mark in place of every colour in figures, so that its commas and dots are gone."""
    figures: list[str] = []

    def mark(match: re.Match[str]) -> str:
        figures.append(match.group())
        return f"\0{len(figures) - 1}\0"

    return color_names.FIGURE.sub(mark, text), figures


def _put_back(text: str, figures: list[str]) -> str:
    return _SET_ASIDE.sub(lambda match: figures[int(match.group(1))], text)


# Maps in braces


_ITEM = re.compile(
    r'\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^"{}:=,]+?))\s*[:=]\s*'
    r'(?P<value>"[^"]*"|[^",:=]*)\s*(?:[,;\n]\s*|$)'
)


def _read_map(inside: str) -> list[Pair]:
    text, figures = _set_figures_aside(inside)
    found = []
    position = 0
    while text[position:].strip(" \n\t,"):
        item = _ITEM.match(text, position)
        if item is None:
            return _read_loose_map(text, figures)
        key = item["bare"] if item["quoted"] is None else _unquote(item["quoted"])
        found.append((_put_back(key, figures), _read_value(item["value"], key, figures)))
        position = item.end()
    return [(_key(phrase), color) for phrase, color in found]


def _unquote(text: str) -> str:
    try:
        return json.loads(f'"{text}"', strict=False)
    except ValueError:
        return text


def _read_loose_map(text: str, figures: list[str]) -> list[Pair]:
    """A map whose quotes do not match: they say nothing, commas part the items."""
    found = []
    for item in re.split(r"[,;\n]", text.replace('"', "")):
        if not item.strip():
            continue
        key, colon, value = re.sub("=", ":", item).partition(":")
        if not colon:
            raise ValueError(
                f"could not read {_put_back(item, figures).strip()!r} in the map: write "
                "name: colour, and put a name that holds a comma in double quotes"
            )
        found.append((_key(_put_back(key, figures)), _read_value(value, key, figures)))
    return found


def _read_value(value: str, key: str, figures: list[str]) -> RGB:
    value = _put_back(value, figures).strip()
    if not value:
        raise ValueError(f"{key.strip()!r} has no colour in the map: write a colour after it")
    return color_names.read_color(value)


def _key(phrase: str) -> str:
    phrase = phrase.strip()
    if len(phrase) > 2 and phrase[0] + phrase[-1] in ("''", "‘’"):
        phrase = phrase[1:-1]
    key = grammar.normalise(phrase)
    if not key:
        raise ValueError("a colour in the map stands beside no name: write name: colour")
    return key


# Sentences


def _read_prose(text: str) -> list[Pair]:
    lines = "\n".join(map(_item, text.lower().split("\n")))
    masked, figures = _set_figures_aside(lines)
    found: list[Pair] = []
    for sentence in _SENTENCE_END.split(masked):
        if sentence.strip():
            found += _read_sentence(sentence.strip(), figures, bool(found))
    return found


def _item(line: str) -> str:
    """A line without its bullet or number; those numbered within it each on a line of its own."""
    bullet = _BULLET.match(line)
    if bullet is None:
        return line
    line = line[bullet.end() :]
    return _NUMBER.sub("\n", line) if bullet["number"] else line


def _read_sentence(sentence: str, figures: list[str], later: bool) -> list[Pair]:
    """Reads one sentence; `later` says that those before it gave colours."""
    sentence, background = _take_background(sentence, figures)
    # "Segment the cat in red; the dog in blue": what has no verb of its own goes on with the last.
    goes_on = later and not grammar.STATES.search(sentence)
    command = goes_on or bool(grammar.COMMANDS.match(_lead_in(sentence)))
    found: list[Pair] = []
    position = 0
    colors = _colors(sentence, figures)
    for value in colors:
        if value.start < position:
            continue
        before = sentence[position : value.start]
        joint, phrase = _joint(before, value.figure)
        named = _bare(phrase.rpartition(":")[2])
        if grammar.NEGATED.search(named) or grammar.SAYS_NOT.search(before[len(phrase) :]):
            _raise_negated(_put_back(sentence, figures))
        last = value is colors[-1]
        # "the cat is red and the dog blue": only after a first value, and only as the last word.
        elliptic = bool(found) and last and not sentence[value.end :].strip(" \"'”’)]")
        stated = value.figure or joint in ("map", "is") or grammar.is_background(phrase)
        if not (stated or command or elliptic):
            continue
        if not stated and color_names.read_name(_BARE.sub("", phrase)):
            phrase = ""  # "are red, green and blue": a colour is no phrase
        if value.color is None:
            color_names.raise_unknown(sentence[value.start : value.end])
        found.append((_phrase(phrase, joint, _put_back(sentence, figures)), value.color))
        position = value.end
    rest = sentence[position:]
    _refuse_unread(rest, command and not found)
    if found:
        _refuse_left_over(rest, command)
    bindings = len(_BINDING.findall(_LEGEND_LEAD.sub("", sentence)))
    if bindings > len(found):
        raise ValueError(
            f"could not read {_put_back(sentence, figures)!r}: write name: colour, with a comma "
            "between one and the next"
        )
    return found + background


def _lead_in(sentence: str) -> str:
    """Drops "in this image," and what stands before a colon from a sentence's beginning."""
    return re.sub(r"^(?:in (?:this|the) (?:image|picture|photo),?|[^:=]*:)\s*", "", sentence)


def _take_background(sentence: str, figures: list[str]) -> tuple[str, list[Pair]]:
    """Takes "on a black background" from the end or the beginning of a sentence."""
    for pattern in (grammar.ON_BACKGROUND, grammar.BACKGROUND_FIRST):
        match = pattern.search(sentence)
        if not match:
            continue
        text = _put_back(match.group(1), figures)
        figure = color_names.FIGURE.search(text)
        color = color_names.read_color(text) if figure else color_names.read_name(text)
        if color is not None:
            rest = sentence[: match.start()] + sentence[match.end() :]
            return rest, [("background", color)]
    return sentence, []


def _colors(sentence: str, figures: list[str]) -> list[_Value]:
    """Finds the colours that stand where a value can stand."""
    tokens = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(sentence)]
    found = []
    i = 0
    while i < len(tokens):
        word, start, end = tokens[i]
        aside = _SET_ASIDE.fullmatch(word)
        if aside:
            color = color_names.read_figure(figures[int(aside.group(1))])
            found.append(_Value(start, end, color, True))
            i += 1
            continue
        length, named = _name_at(sentence, tokens, i)
        if not length:
            i += 1
            continue
        i += length
        end = tokens[i - 1][2]
        if i < len(tokens) and tokens[i][0] in ("color", "colour"):
            end = tokens[i][2]
            i += 1
        after = tokens[i][0] if i < len(tokens) else ""
        if _SET_ASIDE.fullmatch(after):  # the figure beats the name in front of it
            color = color_names.read_figure(figures[int(after.strip("\0"))])
            found.append(_Value(start, tokens[i][2], color, True))
            i += 1
        elif after in _AND or not after or after in ",)]\"'”’":
            _refuse_shade(sentence[:start], sentence[start:end])
            found.append(_Value(start, end, named, False))
    return found


def _name_at(sentence: str, tokens: list[tuple[str, int, int]], i: int) -> tuple[int, RGB | None]:
    """The longest colour name that starts at token i: how many tokens, and the colour."""
    if tokens[i][0] in color_names.UNLISTED:
        return 1, None
    if not color_names.may_begin_name(tokens[i][0]):
        return 0, None
    for length in range(min(color_names.MAX_WORDS, len(tokens) - i), 0, -1):
        text = sentence[tokens[i][1] : tokens[i + length - 1][2]]
        if re.fullmatch(r"[a-z\s-]+", text):
            color = color_names.read_name(text)
            if color is not None:
                return length, color
    return 0, None


def _holds_name(text: str) -> bool:
    tokens = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
    return any(_name_at(text, tokens, i)[0] for i in range(len(tokens)))


def _joint(before: str, figure: bool) -> tuple[str, str]:
    """Cuts the words that join a phrase to its value: which kind of joint, and the phrase."""
    for kind, pattern in grammar.JOINTS.items():
        match = pattern.search(before)
        if match:
            return kind, before[: match.start()]
    match = grammar.IS_FAR.search(before) if figure else None
    return ("is", before[: match.start()]) if match else ("", before)


def _phrase(text: str, joint: str, sentence: str) -> str:
    """The key in the words between one value and the next."""
    _, colon, after = text.rpartition(":")
    if colon:
        if joint == "map" and "," in after:
            color_names.raise_unknown(after.split(",")[0])
        text = after
    bare = _bare(text)
    if joint != "map" and re.fullmatch(grammar.OTHERS, bare):
        raise ValueError(
            f"{bare!r} in {sentence!r} may mean the others of a kind, or all else: name the kind, "
            "or write 'everything else'"
        )
    key = grammar.normalise(bare)
    if grammar.PRONOUN.fullmatch(key):
        raise ValueError(
            f"{key!r} in {sentence!r} may mean any thing: name it, as in 'paint the dog red'"
        )
    if not key or key in grammar.NO_PHRASE:
        raise ValueError(
            f"a colour in {sentence!r} stands beside no name: write what it colours in front of it"
        )
    return key


def _bare(text: str) -> str:
    """A phrase without the words that lead to it and those that end it."""
    text, longer = text.strip(), None
    while text != longer:
        longer = text
        text = grammar.TAIL.sub("", grammar.LEADS.sub("", text, count=1)).strip()
    return text


def _raise_negated(sentence: str) -> NoReturn:
    raise ValueError(
        f"{sentence!r} says which colour something has not: write only which it has, or put a name "
        'that holds a "not" into a map with quotes, {"name": "colour"}'
    )


def _refuse_shade(before: str, name: str) -> None:
    """ "bright red" is not in the table, and reading "red" would be a silent guess."""
    words = before.split()
    if words and words[-1] in grammar.SHADES:
        color_names.raise_unknown(f"{words[-1]} {name}")


def _refuse_left_over(rest: str, command: bool) -> None:
    """Raises where the words after the last colour are one more colour, or a phrase without one."""
    match = re.match(r"\s*(?:,\s*(?:and\s+)?|and\s+)(.+)$", rest)
    if not match:
        return
    words = match.group(1).strip(" ,\"'“”‘’)]")
    tokens = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(words)]
    a_color = bool(tokens) and bool(_name_at(words, tokens, 0)[0])
    a_phrase = grammar.LEFT_OVER.fullmatch(words)
    if a_color or (a_phrase and not words.endswith("ly")) or (command and _holds_name(rest)):
        raise ValueError(f"could not read {rest.strip(' ,')!r}: end each phrase with its colour")


def _refuse_unread(rest: str, painted_nothing: bool) -> None:
    """Raises where the words after the last colour, or all, ask for one that nobody knows."""
    rest = rest.strip(" ,")
    match = re.search(r"[:=]\s*([a-z-]+(?: [a-z-]+){0,2})$", rest)
    if match:
        color_names.raise_unknown(match.group(1))
    match = grammar.UNREAD_IS.match(rest)
    if match and not _says_nothing(match["word"]):
        if (
            match["how"]
            or grammar.is_background(match["who"])
            or color_names.is_nearly_a_name(match["word"])
        ):
            color_names.raise_unknown(match["word"])
        return
    # "Color the image with {...}", "by this legend" only lead to what follows.
    match = re.match(
        r"(?:please )?(?:paint|colou?r)\s(?!.*\b(?:with|by|using|as|from|to)\b).+\s([a-z-]+)$", rest
    )
    if painted_nothing and match and not _says_nothing(rest):
        color_names.raise_unknown(match.group(1))


def _says_nothing(text: str) -> bool:
    return any(word in grammar.NO_COLOR or word.endswith("ly") for word in text.split())

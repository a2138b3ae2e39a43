"""Prompts to token ids and back, with the vocabulary that ships beside this file.

A byte-level BPE in which nothing is ever unknown: text is lower-cased and cut into words, single
digits, the single hex digits of a colour, and single punctuation marks; common words are one
token, other words fall apart into pieces and in the end into bytes. A colour is therefore read
digit by digit: `#80C000` is 7 tokens, `(255, 165, 0)` is 11. White space counts only between two
digits; elsewhere it is neither kept nor needed. The vocabulary is made by
`python -m vision_banana.text.train_tokenizer`.
"""

import hashlib
import pathlib
import re
from collections.abc import Callable

import numpy as np
import tokenizers

PATH = pathlib.Path(__file__).with_name("tokenizer.json")
PADDING = 0
PROMPTS_TRIED = 20

_TOKENIZER = tokenizers.Tokenizer.from_file(str(PATH))

VOCAB_SIZE: int = _TOKENIZER.get_vocab_size()


class PromptTooLong(ValueError):
    """A prompt with more tokens than the model reads."""


def encode(text: str, length: int) -> np.ndarray:
    """Token ids of a prompt.

    Args:
      text: the prompt.
      length: the model's limit, in tokens.

    Returns:
      (length,) int32, padded with 0, which no text produces.

    Raises:
      ValueError: the prompt is empty.
      PromptTooLong: it has more than `length` tokens.
    """
    ids = _TOKENIZER.encode(text).ids
    if not ids:
        raise ValueError(f"the prompt {text!r} is empty: say what to draw")
    if len(ids) > length:
        raise PromptTooLong(
            f"the prompt has {len(ids)} tokens and the model reads at most {length}: shorten it, "
            f"name fewer classes or write colours as names (it is {text!r})"
        )
    tokens = np.full(length, PADDING, np.int32)
    tokens[: len(ids)] = ids
    return tokens


def first_fitting(draw: Callable[[], str], length: int) -> tuple[str, np.ndarray]:
    """Draws prompts until one fits; gives up after `PROMPTS_TRIED`.

    Args:
      draw: draws a prompt, another one each time if it can.
      length: the model's limit, in tokens.

    Returns:
      The prompt, and its tokens as from `encode`.

    Raises:
      PromptTooLong: none of them fits.
    """
    for _ in range(PROMPTS_TRIED - 1):
        prompt = draw()
        try:
            return prompt, encode(prompt, length)
        except PromptTooLong:
            continue
    prompt = draw()
    return prompt, encode(prompt, length)


def count(text: str) -> int:
    """How many tokens a prompt has."""
    return len(_TOKENIZER.encode(text).ids)


def pieces(text: str) -> list[str]:
    """The tokens of a text as strings, for people; a mark that is not ASCII shows as bytes."""
    return [token.removeprefix("Ġ") or " " for token in _TOKENIZER.encode(text).tokens]


def decode(ids: np.ndarray) -> str:
    """The text of token ids, for people: lower-case, spaced by rule, padding dropped.

    `encode(decode(ids), length)` gives the ids back.
    """
    kept = [int(i) for i in np.asarray(ids).ravel() if i != PADDING]
    text = _TOKENIZER.decode(kept)
    # Every piece carries a space in front; where that says nothing it is taken out again. A space
    # that stood between two digits is a piece of its own, so it shows as two.
    text = re.sub(r"(?<=\d) (?=\d)", "", text)
    text = re.sub(r"# ([0-9a-f](?: ?[0-9a-f](?![a-z])){2,7})(?![0-9a-z])", _join, text)
    text = re.sub(r"(?<=\d)  (?=\d)", " ", text)
    text = re.sub(r" (?=[,.;:!?)\]}>])|(?<=[(\[{<]) ", "", text)
    text = re.sub(r"(?<=\d)\. (?=\d)", ".", text)
    return text.strip(" ")


def digest() -> str:
    """A hash of the vocabulary and of every rule that cuts text, 16 hex digits."""
    return hashlib.sha256(PATH.read_bytes()).hexdigest()[:16]


def _join(match: re.Match[str]) -> str:
    return "#" + match.group(1).replace(" ", "")

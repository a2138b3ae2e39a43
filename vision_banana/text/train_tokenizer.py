"""Makes the vocabulary that ships: `python -m vision_banana.text.train_tokenizer`.

Reads `words.json` (the words that must be one token, and how often English captions use them),
learns the merges of a byte-level BPE on them, adds the words that the merges do not reach, and
writes `tokenizer.json`. It takes a second and gives the same file every time.
"""

import json
import pathlib
import string
from collections.abc import Iterator
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

# Not imported from tokenizer.py, which cannot be loaded before this file has run once.
PATH = pathlib.Path(__file__).with_name("tokenizer.json")
WORDS = pathlib.Path(__file__).with_name("words.json")
PAD = "[pad]"  # no text gives this token: punctuation and letters never share a piece
MERGES_UP_TO = 900  # bytes, marks, digits and learnt pieces; the listed words come on top

# The digits of a hex colour of 3 to 8 digits. The pattern language wants look-behinds of a fixed
# length, hence one for each position.
_HEX = "[0-9a-f]"
_BEHIND = "|".join("#" + _HEX * n for n in range(8))
_HEX_DIGIT = rf"(?<={_BEHIND}){_HEX}(?={_HEX}{{0,7}}(?![\p{{L}}\p{{N}}]))"
_PIECE = (
    rf"{_HEX_DIGIT}|\p{{N}}|(?<=\p{{N}})\s+(?=\p{{N}})|[\p{{L}}\p{{M}}]+|[^\s\p{{L}}\p{{M}}\p{{N}}]"
)


def words() -> dict[str, int]:
    """Every listed word with how often it counts when merges are learnt."""
    lists = json.loads(WORDS.read_text())
    counts: dict[str, int] = {}
    for name in ("colours", "classes", "things", "prompts"):
        for word in lists[name]:
            counts[word] = max(counts.get(word, 0), 20)
    for word, count in lists["frequent"].items():
        counts[word] = counts.get(word, 0) + count
    return counts


def blank(model: models.BPE) -> tokenizers.Tokenizer:
    """A tokenizer with the rules that cut text, around a model."""
    result = tokenizers.Tokenizer(model)
    result.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    cut = pre_tokenizers.Split(tokenizers.Regex(_PIECE), behavior="removed", invert=True)
    # The space in front of every piece marks where it starts, so that "red" is the same token
    # after a space, a bracket or a quote.
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
    result.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_])
    result.decoder = decoders.ByteLevel()
    return result


def train() -> tokenizers.Tokenizer:
    """Learns the merges and adds the listed words."""
    counts = words()
    marks = string.digits + string.ascii_lowercase + string.punctuation
    learner = blank(models.BPE())
    learner.train_from_iterator(
        _corpus(counts, marks),
        trainers.BpeTrainer(
            vocab_size=MERGES_UP_TO,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=[PAD],
            show_progress=False,
        ),
    )
    learnt: dict[str, Any] = json.loads(learner.to_str())["model"]
    vocabulary: dict[str, int] = learnt["vocab"]
    for piece in [*marks, *sorted(counts)]:
        vocabulary.setdefault("Ġ" + piece, len(vocabulary))
    merges = [tuple(pair) for pair in learnt["merges"]]
    # ignore_merges: a piece that stands in the vocabulary is that token, merges or not.
    return blank(models.BPE(vocabulary, merges, ignore_merges=True))


def _corpus(counts: dict[str, int], marks: str) -> Iterator[str]:
    for word in sorted(counts):
        yield " ".join([word] * counts[word])
    yield from (f"{mark} " * 2 for mark in marks)


if __name__ == "__main__":
    trained = train()
    trained.save(str(PATH))
    print(f"{PATH}: {trained.get_vocab_size()} entries")

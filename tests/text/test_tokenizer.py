import json
import string

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from vision_banana.text import tokenizer, train_tokenizer


def test_a_colour_is_read_digit_by_digit():
    assert tokenizer.pieces("#80C000") == ["#", "8", "0", "c", "0", "0", "0"]
    assert tokenizer.pieces("#fff") == ["#", "f", "f", "f"]
    assert tokenizer.pieces("(255, 165,0)") == list("(255,165,0)")


def test_letters_outside_a_colour_stay_words():
    assert tokenizer.pieces("face # face #cake") == ["face", "#", "face", "#", "cake"]
    assert tokenizer.pieces("3 red cubes") == ["3", "red", "cubes"]
    assert tokenizer.pieces('"Red":<RED>') == ['"', "red", '"', ":", "<", "red", ">"]


def test_a_space_counts_between_digits_only():
    assert tokenizer.pieces("12 3") == ["1", "2", " ", "3"]
    assert len({tuple(tokenizer.encode(t, 8)) for t in ("12 3", "1 23", "123")}) == 3
    assert tokenizer.pieces("cat ,dog") == tokenizer.pieces("cat, \n dog")


def test_every_listed_word_digit_and_mark_is_one_token():
    for word in [*train_tokenizer.words(), *string.digits, *string.punctuation]:
        assert tokenizer.count(word) == 1, word


@pytest.mark.parametrize(
    "prompt, tokens",
    [
        ("Segment the leftmost cube in pure yellow (<255, 255, 0>).", 21),
        ('{"cat": "red", "lock": "pink", "background": yellow}', 23),
        ("road: #804080", 9),
        ("a depth map of this image with the plasma colormap", 10),
    ],
)
def test_prompts_are_short(prompt, tokens):
    assert tokenizer.count(prompt) == tokens


def test_the_shipped_vocabulary_is_what_the_script_makes():
    assert json.loads(train_tokenizer.train().to_str()) == json.loads(tokenizer.PATH.read_text())


def test_padding_is_zero_and_no_text_gives_it():
    assert tokenizer.encode("red cube", 5)[2:].tolist() == [0, 0, 0]
    for text in ("[pad]", "<pad>", "\0", "pad"):
        assert (tokenizer.encode(text, 8)[: tokenizer.count(text)] > 0).all()


@hypothesis.given(st.text(min_size=1))
@hypothesis.example("猫 😀 #ab12 1 2")
def test_nothing_is_unknown_and_decoding_loses_nothing(text):
    # Kinds of white space are not kept: a lone carriage return comes back between two spaces.
    text = " ".join(text.split())
    if not tokenizer.count(text):
        assert not text
        return
    ids = tokenizer.encode(text, 2000)
    assert ids.dtype == np.int32 and ids.max() < tokenizer.VOCAB_SIZE
    assert np.array_equal(tokenizer.encode(tokenizer.decode(ids), 2000), ids)


def test_decoded_text_reads_well():
    text = "#80c000, (255, 165, 0) and 12.5 m 1 2"
    assert tokenizer.decode(tokenizer.encode(text, 64)) == text


def test_errors_name_text_tokens_and_limit():
    for empty in ("", "  \n"):
        with pytest.raises(ValueError, match=r"is empty"):
            tokenizer.encode(empty, 4)
    tokenizer.encode("a red cube .", 4)
    with pytest.raises(tokenizer.PromptTooLong, match=r"has 5 tokens .* at most 4.*red cubes"):
        tokenizer.encode("two red cubes here.", 4)


def test_the_first_prompt_that_fits_is_taken():
    texts = iter(["two red cubes here.", "one more red cube.", "a cube", "a red cube"])
    text, tokens = tokenizer.first_fitting(lambda: next(texts), 3)
    assert text == "a cube" and np.array_equal(tokens, tokenizer.encode("a cube", 3))
    drawn = []
    with pytest.raises(tokenizer.PromptTooLong, match=r"at most 1.*a cube"):
        tokenizer.first_fitting(lambda: drawn.append(0) or "a cube", 1)
    assert len(drawn) == tokenizer.PROMPTS_TRIED


def test_the_digest_is_of_the_file():
    assert len(tokenizer.digest()) == 16 and tokenizer.VOCAB_SIZE == 1948

import pytest

from vision_banana.tasks import color_names, colors

BLACK, WHITE, RED, BLUE = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 0, 255)
YELLOW, GREEN = (255, 255, 0), (0, 128, 0)

# What method and paper write, each worked out by hand.
READ = [
    (
        '{"cat": "red", "lock": "pink", "exit sign": "light purple", "background": yellow}',
        # light purple is not CSS: (128, 0, 128) halfway to white, 191.5 and 127.5 rounded up
        {"cat": RED, "lock": (255, 192, 203), "exit sign": (192, 128, 192), "background": YELLOW},
    ),
    ("{cat: red, dog: blue, sky: #0f0}", {"cat": RED, "dog": BLUE, "sky": (0, 255, 0)}),
    ('{"cat: red, dog": "blue", sky: black}', {"cat: red, dog": BLUE, "sky": BLACK}),
    ('{"cat: red, dog: blue}', {"cat": RED, "dog": BLUE}),
    (
        "Segment: {'cat': '#80C000', \"a man, left: of {x}\": <255, 165, 0>}",
        {"cat": (128, 192, 0), "man, left: of {x}": (255, 165, 0)},
    ),
    ('{\n  "cat": (255, 0, 0),\n  "dog": [0, 0, 255]\n}', {"cat": RED, "dog": BLUE}),
    ("road: #804080", {"road": (128, 64, 128), "background": WHITE}),
    ("sky = (70, 130, 180)", {"sky": (70, 130, 180), "background": WHITE}),
    (
        "Segmentation map. road: #804080; sky = (70, 130, 180); everything else: black",
        {"road": (128, 64, 128), "sky": (70, 130, 180), "background": BLACK},
    ),
    ("road: red\nsky: light blue\n", {"road": RED, "sky": (173, 216, 230)}),
    ('"cat": "red", "dog": "solid blue"', {"cat": RED, "dog": BLUE}),
    ("“cat”: “red”, “background”: “black”", {"cat": RED, "background": BLACK}),
    ("{“cat”: “red”, “dog”: “#0000ff”}", {"cat": RED, "dog": BLUE}),
    ("‘cat’: ‘red’, ‘dog’: ‘blue’", {"cat": RED, "dog": BLUE}),
    ("{‘cat’: ‘red’, ‘dog’: ‘blue’}", {"cat": RED, "dog": BLUE}),
    (
        "Generate a segmentation map where the cat is red and the dog is blue.",
        {"cat": RED, "dog": BLUE},
    ),
    (
        "Produce a segmentation where produce bags are red",
        {"produce bags": RED, "background": WHITE},
    ),
    ("I want the cat to be red, the dog to be blue.", {"cat": RED, "dog": BLUE}),
    ("I need a segmentation mask in which the cat is red, dog is blue", {"cat": RED, "dog": BLUE}),
    (
        "On a black background, the cat is red and the dog is blue.",
        {"cat": RED, "dog": BLUE, "background": BLACK},
    ),
    ("With a (0, 0, 0) background: paint the cat red.", {"cat": RED, "background": BLACK}),
    (
        "paint the skateboard pure yellow <255,255,0>",
        {"skateboard": YELLOW, "background": BLACK},
    ),
    (
        "Segment the skateboard category in pure yellow (<255, 255, 0>)",
        {"skateboard": YELLOW, "background": BLACK},
    ),
    # figures beat the word beside them
    ("Segment the cat in green (<255, 0, 0>).", {"cat": RED, "background": WHITE}),
    ("The cat is represented by a warm (255, 0, 0).", {"cat": RED, "background": WHITE}),
    ('{"cat": "green #ff0000", dog: (0, 0, 255) yellow}', {"cat": RED, "dog": BLUE}),
    ("Segment the cat in red; the dog in blue", {"cat": RED, "dog": BLUE}),
    ("Paint the cat red. The dog blue.", {"cat": RED, "dog": BLUE}),
    ("cat: red\ndog blue", {"cat": RED, "dog": BLUE}),
    ("cat: red; dog blue; sky: green", {"cat": RED, "dog": BLUE, "sky": GREEN}),
    ("Segment the cat in red. It is beside the man in blue.", {"cat": RED, "background": WHITE}),
    ("Segment the cat in red. Thank you!", {"cat": RED, "background": WHITE}),
    (
        "The macaron cakes are represented by (255, 255, 0). The tongs are (255, 0, 192).",
        {"macaron cakes": YELLOW, "tongs": (255, 0, 192)},
    ),
    (
        "A segmentation map image. The area that corresponds to the man in pink t shirt is "
        "rendered solid white; the other man is rendered in green.",
        {"man in pink t shirt": WHITE, "other man": GREEN},
    ),
    (
        "The background is black color. The game control device is represented by a solid yellow.",
        {"background": BLACK, "game control device": YELLOW},
    ),
    (
        "Generate an instance segmentation visualization of this image. Each piece of garlic is "
        "colored differently. Background is RGB(88, 50, 82).",
        {"background": (88, 50, 82)},
    ),
    (
        "Paint the cat red, the dog blue and everything else in dark green.",
        {"cat": RED, "dog": BLUE, "background": (0, 100, 0)},  # CSS darkgreen
    ),
    (
        "Segment the red cube left of the blue ball in green on a black background.",
        {"red cube left of the blue ball": GREEN, "background": BLACK},
    ),
    (
        "The red cube left of the blue ball is green.",
        {"red cube left of the blue ball": GREEN, "background": WHITE},
    ),
    ("Paint the man in red pink.", {"man in red": (255, 192, 203), "background": BLACK}),
    (
        "the man in red is white, the man in blue is black",
        {"man in red": WHITE, "man in blue": BLACK},
    ),
    ("red: blue, blue: red", {"red": BLUE, "blue": RED}),
    ("The cat is red and the dog blue.", {"cat": RED, "dog": BLUE}),
    (
        "Colour all pixels of the dog in #ff8800 and leave the rest black.",
        {"dog": (255, 136, 0), "background": BLACK},
    ),
    ("The sky should be blue.", {"sky": BLUE, "background": WHITE}),
    ("the sky must be painted blue", {"sky": BLUE, "background": WHITE}),
    ("Legend:\n- cat: red\n* dog: blue", {"cat": RED, "dog": BLUE}),
    ("1. cat: red\n(2) dog: blue", {"cat": RED, "dog": BLUE}),
    ("1) cat: red 2) dog: blue", {"cat": RED, "dog": BLUE}),
    ("Segment this image: red dog: blue", {"red dog": BLUE, "background": WHITE}),
    ("cat: red, white and black dog: blue", {"cat": RED, "white and black dog": BLUE}),
    ("paint the cat red, please", {"cat": RED, "background": WHITE}),
    ("The cat is red, the background black.", {"cat": RED, "background": BLACK}),
    # a "not" within a phrase is the phrase's
    (
        "The man not in red is blue, the no entry sign is white.",
        {"man not in red": BLUE, "no entry sign": WHITE},
    ),
    (
        "Paint the sign without text red and the rest black.",
        {"sign without text": RED, "background": BLACK},
    ),
    ("A map without any text: cat: red, forget-me-not: blue", {"cat": RED, "forget-me-not": BLUE}),
    ('{"not the cat": red, "dog is not": blue}', {"not the cat": RED, "dog is not": BLUE}),
]


@pytest.mark.parametrize(("text", "legend"), READ)
def test_every_form_reads_as_by_hand(text: str, legend: dict[str, color_names.RGB]) -> None:
    assert colors.parse_prompt(text) == legend


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("Segment the cat.", "no colour can be read in the prompt 'Segment the cat.'"),
        ("{}", "no colour"),
        ('{"cat": "yelow"}', "unknown colour name 'yelow'; the nearest valid names are yellow,"),
        ('{"cat": }', "'cat' has no colour"),
        ("{cat, dog: red}", "could not read 'cat' in the map"),
        ("road: blurple, sky: red", "unknown colour name 'blurple'"),
        ("sky: red, road: blurple", "unknown colour name 'blurple'"),
        ("paint the cat burgundy and the dog blue", "unknown colour name 'burgundy'"),
        ("the cat is burgundy, the dog is blue", "unknown colour name 'burgundy'"),
        ("segment the cat in burgundy", "unknown colour name 'burgundy'"),
        ("Paint the cat grean.", "'grean'; the nearest valid names are green"),
        ("The cat is red. The background is bluee.", "'bluee'; the nearest valid names are blue"),
        ("Paint the cat bright red.", "'bright red'; the nearest valid names are red"),
        ("cat: (255, 300, 0)", "300 is outside 0..255"),
        ("cat: (256, 0, 0)", "256 is outside 0..255"),
        ("cat: (255, 30)", r"'\(255, 30\)' is not a colour"),
        ("cat: (1.0, 0.5, 0.1)", "not a colour"),
        ("cat: #ff00", "'#ff00' is not a colour"),
        ("Use the color (255, 0, 0) for the cat", "stands beside no name"),
        ("Paint the cat red and the dog blue all over.", "could not read 'and the dog blue all"),
        ("cat: rgb(100%, 0%, 0%)", r"'rgb\(100%, 0%, 0%\)' is not a colour"),
        ("cat: hsl(0, 100, 50)", r"'hsl\(0, 100, 50\)' is not a colour"),
        ("cat: red dog: blue", "could not read 'cat: red dog: blue': write name: colour, with a"),
        ("Segment this image: cat: red dog: blue", "with a comma between"),
        ("cat: red mask: blue", "could not read 'cat: red mask: blue'"),
        ("cat = red = blue", "could not read 'cat = red = blue'"),
        ("cat: red 2. dog: blue", "could not read 'cat: red 2'"),
        ("paint the cat red, dog", "could not read 'dog': end each phrase with its colour"),
        ("Paint the cat red and the dog.", "could not read 'and the dog'"),
        ("cat: red, dog", "could not read 'dog'"),
        ("The cat and the dog are red and blue respectively.", "could not read 'and blue resp"),
        ("The cat, dog and bird are red, green and blue.", "stands beside no name"),
        ("cat: red, dog: #ff0002", "nearly the same colour, 2.0 of 255 apart"),
        ("cat: red, dog: red", "0.0 of 255 apart"),
        ("cat: red, background: red", "'cat'.*'background'"),
        ("cat: red, the cat: blue", "'cat' has two colours"),
    ],
)
def test_bad_prompts_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        colors.parse_prompt(text)


@pytest.mark.parametrize(
    "text",
    [
        "the cat is red, the dog is not blue",
        "the cat is red, the dog is blue, not green",
        "the cat is red, the dog is blue rather than green",
        "The background is not black; the cat is red and the dog is blue",
        "the cat is red, background: not black",
        "The cat is red. The dog is never blue.",
        "The cat is red. The dog isn't blue.",
        "The cat is red. The dog must not be painted in blue.",
        "The cat is red. The dog is not quite (0, 0, 255).",
        "The cat is red. Don't paint the dog blue.",
        "Paint the cat red but not the dog blue.",
        "cat: red, no blue",
        "The cat is red, everything but the cat is black.",
    ],
)
def test_a_colour_that_something_has_not_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="says which colour something has not"):
        colors.parse_prompt(text)


@pytest.mark.parametrize(
    "text",
    [
        "Segment the dog in this image. Paint it red.",
        "Segment the dog and paint it red.",
        "Segment the dogs. They are red.",
        "Segment the dogs. Paint all of them red.",
        "it: red",
        "Paint these blue.",
    ],
)
def test_a_pronoun_is_no_name(text: str) -> None:
    with pytest.raises(ValueError, match="may mean any thing: name it"):
        colors.parse_prompt(text)
    assert colors.parse_prompt('{"it": "red", "them": "blue"}') == {"it": RED, "them": BLUE}


def test_a_prompt_without_colour_has_its_own_error() -> None:
    with pytest.raises(colors.NoColor):
        colors.parse_prompt("Each piece of garlic is colored differently.")


def test_names_of_phrases() -> None:
    assert colors.normalise("  The  Red Ball ") == "red ball"
    assert colors.normalise('the "a cat"') == "cat"
    for text in ("everything else", "the rest", "Everything else in the image", "Background"):
        assert colors.normalise(text) == "background"


@pytest.mark.parametrize(
    "text",
    [
        "The rest of the pixels are black; cat is red",
        "Other pixels are black. The cat is red.",
        "the cat is red and all the rest is black",
        "the cat is red, the remaining area is black",
        "the cat is red, the remainder is black",
        "the cat is red, the remainder black",
        "the cat is red. All other regions of the image are black.",
        "Paint the cat red and all of the remaining pixels in this picture black.",
        "cat: red, others: black",
        "cat: red, rest of this photo: black",
        "cat: red; all the others: black",
        "the cat is red on a black backdrop",
        "cat: red, bg: black",
        "cat: red, backdrop colour: black",
        "{cat: red, background pixels: black}",
    ],
)
def test_what_means_the_background(text: str) -> None:
    assert colors.parse_prompt(text) == {"cat": RED, "background": BLACK}


def test_what_does_not_mean_the_background() -> None:
    for name in ("other", "other man", "rest of the cake", "other parts of the cake", "area"):
        legend = colors.parse_prompt(f"The cat is red. The {name} is blue.")
        assert legend == {"cat": RED, name: BLUE}
    for text in ("the left cat is red, the others are blue", "Paint the cat red and others blue."):
        with pytest.raises(ValueError, match="may mean the others of a kind, or all else"):
            colors.parse_prompt(text)


def test_near_colours_are_refused_below_14_exactly() -> None:
    assert len(colors.parse_prompt("a1: (100, 100, 100), b: (114, 100, 100)")) == 2
    with pytest.raises(ValueError, match=r"13\.0"):
        colors.parse_prompt("a1: (100, 100, 100), b: (113, 100, 100)")
    # Euclidean: 9 in each channel are 15.6 apart, 8 are 13.9.
    assert len(colors.parse_prompt("a1: (100, 100, 100), b: (109, 109, 109)")) == 2
    with pytest.raises(ValueError, match=r"13\.9"):
        colors.parse_prompt("a1: (100, 100, 100), b: (108, 108, 108)")


@pytest.mark.parametrize(
    ("color", "background"),
    [
        ("(255, 0, 0)", WHITE),  # 255 from black, 361 from white
        ("(255, 255, 0)", BLACK),  # 361 and 255
        ("(128, 127, 127)", WHITE),  # 3 x 128^2 to white is more than to black
        ("(128, 128, 127)", BLACK),
        ("(0, 0, 0)", WHITE),
        ("(255, 255, 255)", BLACK),
    ],
)
def test_one_colour_brings_the_farther_of_black_and_white(
    color: str, background: color_names.RGB
) -> None:
    assert colors.parse_prompt(f"cat: {color}")["background"] == background


def test_several_colours_bring_no_background() -> None:
    assert set(colors.parse_prompt("cat: red, dog: blue")) == {"cat", "dog"}
    assert set(colors.parse_prompt("background: red")) == {"background"}

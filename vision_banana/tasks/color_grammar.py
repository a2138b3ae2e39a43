"""The words around a colour in a prompt: what joins it to its phrase, what means the background.

Patterns for lower-case text. Whoever reads a prompt reads by these.
"""

import re

_ARTICLE = re.compile(r"^(?:the|an|a)\s+")
# All that a prompt gives no colour of its own, without an article.
_ALL = r"(?:(?:all|everything|anything|everywhere)\s+)?(?:of\s+)?(?:the\s+)?"
_PIXELS = r"(?:pixels?|areas?|regions?|parts?|space|surfaces?|things?|stuff)"
_OF_PICTURE = (
    r"(?:\s+(?:of|in)\s+(?:the|this)\s+(?:entire\s+|whole\s+)?"
    rf"(?:image|picture|photo(?:graph)?|scene|frame|{_PIXELS}))"
)
BACKDROP = r"(?:background|bg|backdrop)"  # "background: black", "on a black background"
BACKGROUND = (
    rf"(?:{BACKDROP}(?:\s+(?:colou?r|pixels?|areas?|regions?))?"
    rf"|{_ALL}(?:(?:else|rest|remainder)(?:\s+{_PIXELS})?"
    rf"|(?:other|remaining|leftover|unnamed|unlabell?ed)\s+{_PIXELS})|elsewhere){_OF_PICTURE}?"
)
# In a list these mean it ("others: black"); in a sentence they may be the others of a kind.
OTHERS = r"(?:all\s+)?(?:the\s+)?others"
_BACKGROUND = re.compile(f"{BACKGROUND}|{OTHERS}")

A = r"(?:(?:an?|the)\s+)?(?:colou?r\s+)?"
DRAWN = (
    r"(?:represented|rendered|painted|drawn|shown|colou?red|filled|marked|depicted|displayed"
    r"|highlighted|labell?ed|segmented|given|masked|assigned|tinted|shaded|indicated|denoted)"
)
_MODAL = r"(?:should|must|shall|will|can)"
_IS = r"(?:is|are|be|gets?|becomes?|stays?|remains?|turns?|has|have)"
BE = rf"\b(?:(?:{_MODAL}|to)\s+)?{_IS}\s+(?:(?:all|now|to|be)\s+){{0,2}}"
STATES = re.compile(rf"\b{_IS}\b")  # a sentence that says something, not a clause
BY = r"(?:(?:by|in|as|with|using|to)\s+)?"
# What says of a colour that it is another thing's, or none.
NOT = (
    r"(?:\w+n['’]t|not|never|no|nor|neither|none|nothing|without|instead of|rather than|other than"
    r"|anything but|except(?: for)?)"
)
SAYS_NOT = re.compile(rf"(?<![\w-]){NOT}\b")
# What begins to say which colour a phrase has, or has not.
VERB = rf"(?:{_MODAL}|{_IS}|\w+n['’]t|not|never)"
# What may stand between a phrase and its colour, tried in this order; each ends at the colour.
JOINTS = {
    "map": re.compile(r"(?:[:=]|->|=>|→)[\s\"'“‘(]*(?:(?:in|an?|the|colou?r)\s+)*$"),
    "is": re.compile(rf"{BE}(?:{DRAWN}\s+)?{BY}{A}$"),
    "in": re.compile(rf"\b(?:in|with|as|using|to)\s+{A}$"),
}
# A figure may have any word beside it ("is represented by a warm (255, 165, 0)").
IS_FAR = re.compile(rf"{BE}(?:{DRAWN}\s+{BY}|{BY}){A}[a-z -]{{0,24}}$")
COMMAND = (
    r"(?:paint|colou?r|recolou?r|segment|mark|draw|highlight|fill|show|render|label|make|turn"
    r"|shade|tint|mask|display|depict|leave|keep)"
)
# What makes a sentence a command, in which "the cat red" is enough.
COMMANDS = re.compile(rf"(?:please |now |then |and )*{COMMAND}\b")
# The dog "is not", "must never be painted", "not in"; "not the dog", "everything but the dog".
NEGATED = re.compile(
    rf"(?<![\w-]){NOT}(?:\s+(?:to|be|all|now|{DRAWN}))*\s*{BY}{A}$"
    rf"|^(?:do\s+)?(?!no\b){NOT}\b"
    rf"|^(?:everything|everywhere|anything|all)(?:\s+(?:that|which)\s+(?:is|are))?\s+(?:{NOT}|but)\b"
)
LEADS = re.compile(
    r"^(?:[,:;)\]}\"'“”‘’&]|(?:and|while|but|then|also|please|where|with)\b"
    r"|in (?:this|the) (?:image|picture|photo)\b,?"
    rf"|(?:{COMMAND}|generate|create|produce(?= an? )|give me|i (?:want|need))\b(?=\s)"
    r"|an? (?:\w+ ){0,3}segmentation (?:\w+ ){0,4}?(?:where|with|in which|such that|so that)\b"
    r"|(?:(?:the|all)\s+)?(?:the\s+)?(?:areas?|regions?|pixels?|parts?)\s+(?:(?:that|which)\s+"
    r"(?:corresponds?|belongs?)\s+to|of|covered by|occupied by)\b)\s*"
)
TAIL = re.compile(r"(?:\s+(?:category|class)|\s*[,\"'“”‘’(])+$")
ON_BACKGROUND = re.compile(
    r",?\s+(?:on|with|against|over|and)\s+(?:an?|the)\s+"
    rf"((?:(?!\b(?:on|with|against|over|and)\b)[^,:=]){{1,40}}?)\s+{BACKDROP}$"
)
BACKGROUND_FIRST = re.compile(
    rf"^(?:on|with|against|over)\s+(?:an?|the)\s+([^,:=]{{1,40}}?)\s+{BACKDROP}\s*[,:]\s*"
)
NO_COLOR = ("different", "unique", "distinct", "its", "their", "own", "random", "various", "each")
UNREAD_IS = re.compile(
    rf"^(?P<who>.*?)\s*{BE}(?P<how>{DRAWN}\s+)?{BY}{A}(?P<word>[a-z-]+(?:\s[a-z-]+){{0,2}})$"
)
# Which thing they mean stands in another sentence, or before "and paint".
PRONOUN = re.compile(
    rf"(?:.*\b{COMMAND}\s+)?(?:all\s+of\s+)?(?:it|they|them|this|that|these|those)(?:\s+all)?"
)
NO_PHRASE = ("the", "a", "an", "use", "use the", "use color", "use the color", "in", "with")
# "paint the cat red, please" leaves nothing over; "paint the cat red, the dog" does.
_NO_LEFT_OVER = (
    rf"(?:please|thanks?|now|only|too|also|alone|again|{COMMAND}|is|are|be|stays?|remains?|in|on|with"
    r"|as|for|to|so|by|at|of|where|which|that|it|this|no|not|nothing|without|just|everything|rest)"
)
LEFT_OVER = re.compile(rf"(?!{_NO_LEFT_OVER}\b)\S+(?: (?!{_NO_LEFT_OVER}\b)\S+){{0,3}}")
SHADES = ("bright", "pale", "deep", "vivid", "medium", "neon", "dull", "pastel", "very")


def normalise(phrase: str) -> str:
    """Returns a phrase as a key: lower-case, single spaces, no article; "background" for the rest.

    "The Red  Ball" -> "red ball", "everything else" -> "background".
    """
    words, before = " ".join(phrase.lower().replace("\0", " ").split()), None
    while words != before:  # a key is its own key
        before = words
        words = words.strip('"“” ')
        words = _ARTICLE.sub("", words) or words
    return "background" if _BACKGROUND.fullmatch(words) else words


def is_background(text: str) -> bool:
    """Whether a phrase, which may begin with "and", is the background or begins with it."""
    return normalise(re.sub(r"^(?:and|while|but)\s+", "", text.strip(" ,"))).startswith(
        "background"
    )

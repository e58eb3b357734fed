"""Words that act on others: denials, limits, turns from one mood to another, numbers, and words without meaning.

Belongs here: words and numbers only, as data. Not here: the words for music (`vocabulary`).
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product


def phrases(text: str) -> list[str]:
    """The phrases of a text that bars part."""
    return text.split("|")


def words(text: str) -> frozenset[str]:
    """The words of a text that spaces part."""
    return frozenset(text.split())


def _by_words(*texts: str) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(phrase.split()) for text in texts for phrase in text.split("|"))


ByFirstWord = Mapping[str, Sequence[tuple[str, ...]]]


def by_first_word(listed: Iterable[tuple[str, ...]]) -> ByFirstWord:
    """Phrases by their first words, the longest first."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for phrase in sorted(listed, key=len, reverse=True):
        found.setdefault(phrase[0], []).append(phrase)
    return found


NEGATIONS = _by_words(
    "no|not|non|without|never|dont|doesnt|isnt|arent|wont|avoid|except|excluding|minus|nothing|neither|none|skip|nor|"
    "hate|hates|dislike|less|fewer|anything but|anything other than|all but|everything but|other than|apart from|"
    "aside from|the opposite of|opposite of|cant stand|cannot stand|can not stand|sick of|tired of|fed up with|"
    "bored of|bored with|no more|leave out|rather than|instead of|free of"
)
"""Words that turn the next wish around."""
EXCEPTIONS = words("except but excluding besides")
"""After a denied wish, they ask for something after all: ``no rock except indie rock``."""
JOINS_NEGATION = words("or nor")
ONLY = ("only", "just", "nothing but", "exclusively", "solely")
LIKE = ("similar to", "sounds like", "sounding like", "in the style of", "in the vein of", "reminiscent of", "like")
BY = ("songs by", "tracks by", "music by", "only by", "by", "from", "of")
IDIOMS = _by_words(
    "not only|not just|no problem|no worries|no matter|no matter what|no doubt|no rush|no idea|why not|not bad|"
    "nothing beats|nothing like|non stop|nonstop|never stop|never ending|cant wait|cant stop|cant get enough|"
    "cant get enough of|cannot get enough of|never gets old|never get old|"
    "i love|we love|id love|i would love|would love|i really love|he loves|she loves|they love|loves|love to|"
    "my love for|pop the|pop up|in the house|around the house|at the house|house of|rock and stone|"
    "flat white|queen of|king of|even more|even less|a lot of|lots of|kind of|sort of|work of|at work on"
)
"""Phrases whose words mean something else than each alone; they ask for nothing."""
NOT_MISSPELT = words(
    "mental range sing sting powder county folks sturdy reaching bathe trip strap fold cleaning medal cloud brain "
    "train light flower walking talking mourning slot live lives hose mouse horse house houses opera pace place"
)
"""Words that are near known ones, but mean something else."""
FILLERS = words(
    "a an the and or with for to of in on at my me i im ive id is are be it its this that these those some any very so "
    "really quite rather too just please give want need wanna gonna would like make made play playing played playlist "
    "playlists song songs track tracks music tunes tune something anything stuff mix sound sounds sounding sort "
    "kind bit little lot lots but yet then than also still good great nice best cool vibe vibes feel feeling feelings "
    "mood moods day days week weekend today time while when during monday tuesday wednesday thursday saturday let "
    "lets us we you your our up down only all from by as into about around maybe most mostly more less much many "
    "long short hour was were yes yeah ok okay hi hello hey thanks thank super extremely totally absolutely pretty "
    "minute second through over under out get go going have has had do does can could should will thing things one "
    "ones here there home house style type genre genres listen listening hear hearing overly fairly somewhat truly "
    "what which who whom how where if because makes making being been exclusively solely gets getting becomes "
    "becoming bpm tempo everything usual usually normal beats old released hit hits each start starts starting begin "
    "begins beginning end ends ending turn turns turning listened"
)
"""Words that carry no meaning here. A phrase that contains them is looked up first."""

_START = words("start starts starting begin begins beginning opens opening")
TURNS = words(
    "to into gets get getting end ends ending finish finishes finishing becomes become becoming turn turns turning "
    "build builds building then until"
)
"""Words that lead from one mood to the next, if nothing but `BESIDE_TURNS` stands between the two."""
BESIDE_TURNS = TURNS | _START | words("and more with up on , slowly gradually it in a the very really quiet loud by")
STATES = words(
    "energetic happy sad chill party calm fast slow loud quiet soft hard heavy dark bright mellow intense upbeat "
    "relaxed peaceful wild angry dreamy gentle faster slower louder quieter brighter darker calmer hype hyped pumped "
    "epic sleepy cheerful melancholic danceable"
)
"""What a mood can turn into; ``calm to study`` names what it is for."""

ABOVE = by_first_word(
    _by_words(
        "above|over|more than|at least|min|minimum|minimum of|a minimum of|from|faster than|higher than|greater than|"
        "louder than|longer than|upwards of|no less than|not less than|not under|not below|no slower than|"
        "no shorter than|"
        "starting at|>|>="
    )
)
BELOW = by_first_word(
    _by_words(
        "below|under|less than|at most|max|maximum|maximum of|a maximum of|up to|no more than|not more than|not over|"
        "not above|slower than|lower than|shorter than|no faster than|no longer than|not longer than|<|<="
    )
)
ABOUT = by_first_word(_by_words("about|around|at|roughly|approximately|circa|exactly|of|to|is|between|ca"))
ABOVE_AFTER = by_first_word(
    _by_words("or more|or faster|or higher|or above|or over|and up|and above|and faster|and more|plus|up|min|minimum")
)
BELOW_AFTER = by_first_word(
    _by_words("or less|or slower|or lower|or below|or under|and below|and slower|and less|max|maximum|tops")
)
BEFORE_YEARS = by_first_word(
    _by_words(
        "before|pre|by|older than|earlier than|prior to|until|till|up to|not after|no newer than|no later than|"
        "not newer than"
    )
)
AFTER_YEARS = by_first_word(
    _by_words(
        "after|post|since|newer than|later than|more recent than|not before|no older than|not older than|"
        "no earlier than|starting in|starting from"
    )
)
INCLUSIVE = words("by until till since no not up starting")
"""In the limits of years: the year itself is meant, too."""
ONWARDS = by_first_word(
    _by_words(
        "on|onwards|onward|and later|and newer|or later|or newer|and up|until today|to today|until now|to now|till now|"
        "till today|to the present|and onwards|and onward|and after"
    )
)
_UNITS: Mapping[str, float] = {
    name: number
    for number, names in enumerate(
        (
            *("zero", "one a an", "two couple", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
            *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
            "twenty",
        )
    )
    for name in names.split()
}
NUMBERS: Mapping[str, float] = {
    **_UNITS,
    "thirty": 30,
    "forty": 40,
    "fifty": 50,
    "sixty": 60,
    "seventy": 70,
    "eighty": 80,
    "ninety": 90,
    "hundred": 100,
    "half": 0.5,
}
DECADES: Mapping[str, int] = {
    **{name: 1900 + 10 * at for at, name in enumerate(("twenties", "thirties", "forties", "fifties"), start=2)},
    **{name: 1900 + 10 * at for at, name in enumerate(("sixties", "seventies", "eighties", "nineties"), start=6)},
    "noughties": 2000,
    "aughts": 2000,
}
_LONG_AGO = "a while|ages|years|months|forever|a long time|so long|long|a year"
UNHEARD = [
    f"{'i ' if has_i else ''}{said} {verb} {when} {how_long}"
    for has_i, said, verb, when, how_long in product(
        (False, True),
        ("havent", "have not"),
        ("heard", "played", "listened to"),
        ("in", "for"),
        phrases(_LONG_AGO),
    )
] + [
    f"{'i ' if has_i else ''}{said} {verb} since"
    for has_i, said, verb in product((False, True), ("havent", "have not"), ("heard", "played", "listened to"))
]
"""How people say that they have not heard songs for long."""

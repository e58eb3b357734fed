"""The words that people use for music, and what each stands for.

Belongs here: words and numbers only, as data. Not here: how words of a text act together (`words`).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType
from typing import Literal

from echostats_pipeline.playlists.grammar import FILLERS, UNHEARD, phrases

Span = tuple[float, float]


Axis = Literal["energy", "brightness", "tempo"]
BOUNDS: Mapping[str, Span] = {"energy": (0.0, 1.0), "brightness": (0.0, 1.0), "tempo": (60.0, 200.0)}
"""The ranges without any wish."""


@dataclass(frozen=True)
class Mood:
    """A mood of Playlist Generator's: its label, its icon, its place, and how its songs sound.

    Attributes:
        main: What the opposite of the mood is about; empty if it has no opposite.
    """

    label: str
    icon: str
    order: int
    energy: Span
    brightness: Span
    tempo: Span
    main: str

    @property
    def ranges(self) -> dict[str, Span]:
        """The ranges by axis."""
        return {"energy": self.energy, "brightness": self.brightness, "tempo": self.tempo}


MOODS: Mapping[str, Mood] = MappingProxyType(
    {
        "happy": Mood("Happy", "\N{SMILING FACE WITH SMILING EYES}", 1, (0.6, 1), (0.6, 1), (120, 180), "brightness"),
        "sad": Mood("Sad", "\N{CRYING FACE}", 2, (0, 0.4), (0, 0.4), (60, 100), "brightness"),
        "energetic": Mood("Energetic", "\N{HIGH VOLTAGE SIGN}", 3, (0.7, 1), (0.5, 1), (140, 200), "energy"),
        "chill": Mood("Chill", "\N{RELIEVED FACE}", 4, (0, 0.5), (0.3, 0.7), (70, 120), "energy"),
        "focus": Mood("Focus", "\N{DIRECT HIT}", 5, (0.3, 0.7), (0.2, 0.6), (90, 130), ""),
        "party": Mood("Party", "\N{PARTY POPPER}", 6, (0.8, 1), (0.7, 1), (120, 200), "energy"),
    }
)
"""The six moods of Playlist Generator's database."""

SYNONYMS: Mapping[str, str] = {
    "happy": "cheerful|joyful|joyous|upbeat|sunny|sunshine|glad|uplifting|bright side|feel good|feelgood|"
    "good mood|good vibes|happiness|happier|merry|jolly|carefree|optimistic|smile|smiling|😊|😀|😃|😄|🙂|😁|☀|🌞",
    "sad": "melancholy|melancholic|gloomy|blue|somber|sombre|sorrowful|heartbroken|heartbreak|broken heart|"
    "depressing|sadder|depressed|crying|cry|tearful|sadness|mournful|lonely|loneliness|moody|"
    "bittersweet|wistful|grief|mourning|breakup|break up|😢|😭|💔|😔|😞",
    "energetic": "pumped|intense|powerful|workout|gym|working out|work out|exercise|running|run|jogging|training|"
    "cardio|hiit|motivation|motivating|motivational|hype|hyped|adrenaline|pump up|pumping|power|"
    "lifting|beast mode|driving|cycling|⚡|💪|🔥|🏃|🏋|🚴",
    "chill": "calm|mellow|relaxed|lofi|cozy|rainy|relax|relaxing|relaxation|lo fi|cosy|rain|chilled|chillout|"
    "chill out|calmer|mellower|laid back|laidback|easygoing|easy going|peaceful|serene|tranquil|"
    "soothing|unwind|calming|calm down|low key|lowkey|cuddle|coffee|coffeehouse|cafe|tea|bath|hammock|"
    "meditative|drizzle|drizzly|slow down|stress free|😌|☕|🌧|🛀",
    "focus": "study|coding|concentration|work|studying|concentrate|concentrating|programming|reading|homework|"
    "office|deep work|working|writing|productive|productivity|focused|focusing|code|learning|background|🎯|"
    "📚|💻|🧠",
    "party": "dance|club|celebration|dancing|clubbing|celebrate|celebrating|partying|dancefloor|dance floor|"
    "birthday|pregame|rave|banger|bangers|night out|floor filler|bachelorette|karaoke|house party|pool party|"
    "dance party|🎉|🥳|🕺|💃|🎊|🪩",
}
"""Words for a mood, separated by bars."""

OWN_MOODS: Mapping[str, Mapping[str, Span]] = {
    "romantic|love|in love|fall in love|falling in love|date night|candlelight|sensual|tender|❤|🥰|😍|💕": {
        "energy": (0.2, 0.6),
        "brightness": (0.3, 0.8),
    },
    "angry|anger|rage|furious|aggressive|mad|brutal|😡|😠|🤬": {"energy": (0.75, 1), "brightness": (0, 0.5)},
    "sleep|sleepy|sleeping|lullaby|bedtime|before bed|asleep|fall asleep|dozing|nap|😴|💤": {
        "energy": (0, 0.3),
        "tempo": (60, 100),
    },
    "dreamy|ethereal|floating|hazy|dream|dreaming|spacey": {"energy": (0.1, 0.5), "brightness": (0.2, 0.6)},
    "nostalgic|nostalgia|sentimental": {"energy": (0.1, 0.6), "brightness": (0.2, 0.6)},
    "epic|cinematic|heroic|triumphant": {"energy": (0.5, 1), "brightness": (0.2, 0.7)},
    "road trip|roadtrip|drive|🚗|🚙": {"energy": (0.5, 0.9), "brightness": (0.4, 0.9)},
    "yoga|meditation|meditate|spa|massage|🧘": {"energy": (0, 0.35), "tempo": (60, 110)},
    "dinner|cooking|brunch|dinner party": {"energy": (0.2, 0.6), "brightness": (0.4, 0.8)},
    "cleaning|cleaning the house|clean the house|spring cleaning|housework|chores|tidying|tidying up|washing up|"
    "doing the dishes|🧹": {"energy": (0.5, 0.95), "brightness": (0.4, 1)},
    "walk|walking|a walk|stroll|strolling": {"energy": (0.2, 0.7), "brightness": (0.3, 1)},
    "slow dance|slow dancing|first dance": {"energy": (0.1, 0.5), "tempo": (60, 100)},
}
"""Further moods, with words like those of `SYNONYMS`; they have no preset."""

HINTS: Mapping[str, Mapping[str, Span]] = {
    "early morning|dawn|sunrise|waking up|wake up|wake me up|rise and shine|breakfast|🌅": {
        "energy": (0.1, 0.6),
        "brightness": (0.4, 1),
    },
    "morning|mornings": {"energy": (0.2, 0.8), "brightness": (0.4, 1)},
    "afternoon|midday|noon|lunch": {"energy": (0.3, 0.9)},
    "evening|evenings|dusk|sunset|after work": {"energy": (0, 0.7)},
    "night|nights|tonight|nighttime|by night|🌙|🌃": {"energy": (0, 0.7), "brightness": (0, 0.7)},
    "late night|midnight|late at night|small hours|after midnight": {"energy": (0, 0.6), "brightness": (0, 0.5)},
    "saturday night|friday night|friday": {"energy": (0.6, 1)},
    "sunday|sundays|lazy|lazy day|slow day": {"energy": (0, 0.6)},
    "storm|stormy|thunder|thunderstorm": {"energy": (0.5, 1), "brightness": (0, 0.5)},
    "windy|wind|breezy|breeze|gusty": {"energy": (0.2, 0.8)},
    "snow|snowy|snowfall|frosty|cold|chilly|icy|❄|⛄": {"energy": (0, 0.6), "brightness": (0.1, 0.6)},
    "fog|foggy|misty|mist|cloudy|clouds|grey|gray|overcast": {"energy": (0, 0.6), "brightness": (0, 0.5)},
    "hot|heat|beach|pool|tropical|warm|summery|bbq|barbecue|🏖|🌴": {"brightness": (0.5, 1)},
    "spring|springtime": {"brightness": (0.5, 1)},
    "summer|summertime": {"energy": (0.4, 1), "brightness": (0.5, 1)},
    "autumn|fall|fall season|autumnal|in the fall|crisp fall|october|november|🍂|🍁": {
        "energy": (0.1, 0.6),
        "brightness": (0.1, 0.6),
    },
    "winter|wintertime|december|january": {"energy": (0, 0.6), "brightness": (0, 0.6)},
    "christmas|xmas|🎄": {},
}
"""Time of day, weather and season. They narrow a mood as far as they do not contradict it."""

_LOW, _MID, _HIGH = "low|lower|little|less", "mid|medium|moderate|middling", "high|higher|much|more|lots of"
_LEVELS: Mapping[str, Mapping[str, Span]] = {
    "energy": {_LOW: (0, 0.4), _MID: (0.3, 0.7), _HIGH: (0.6, 1)},
    "brightness|valence|positivity": {_LOW: (0, 0.4), _MID: (0.3, 0.7), _HIGH: (0.6, 1)},
    "tempo|speed|pace|bpm": {_LOW: (60, 100), _MID: (90, 120), _HIGH: (120, 180)},
    "danceability": {_LOW: (0, 0.4), _MID: (0.3, 0.7), _HIGH: (0.6, 1)},
    "acousticness": {_LOW: (0, 0.4), _MID: (0.3, 0.7), _HIGH: (0.6, 1)},
    "liveness": {_LOW: (0, 0.4), _MID: (0.3, 0.7), _HIGH: (0.6, 1)},
    "speechiness": {_LOW: (0, 0.3), _MID: (0.2, 0.6), _HIGH: (0.5, 1)},
}
_MODIFIERS: Mapping[str, Mapping[str, Span]] = {
    "slow|slower|slowly|downtempo|ballad|ballads|down tempo": {"tempo": (60, 100)},
    "midtempo|mid tempo|medium tempo": {"tempo": (90, 120)},
    "fast|faster|quick|uptempo|up tempo|speedy|rapid": {"tempo": (120, 180)},
    "gentle|soft|softly|quiet|quieter|delicate|light": {"energy": (0, 0.4)},
    "loud|louder|hard|heavy|strong": {"energy": (0.6, 1)},
    "dark|darker|darkness|bleak": {"brightness": (0, 0.4)},
    "bright|brighter|radiant|positive": {"brightness": (0.6, 1)},
    "negative": {"brightness": (0, 0.4)},
    "danceable|dancier|groovier|groovy|groove|grooving|rhythmic": {"danceability": (0.6, 1)},
    "acoustic|unplugged": {"acousticness": (0.5, 1)},
    "electronic sound|synthetic|electric": {"acousticness": (0, 0.4)},
    "live recordings|live recording|live version|live versions|live songs|live music|live albums|recorded live|concert|"
    "concerts": {"liveness": (0.6, 1)},
    "spoken word|spoken": {"speechiness": (0.5, 1)},
}
_VOCALS = (
    "vocals|vocal|singing|sing along|singalong|sing alongs|words|lyrics|lyric|singer|singers|voice|voices|sung|vocalist"
)
_INSTRUMENTAL = "instrumental|instrumentals|instrumental only|only instrumental|background music|wordless"
HEARD: Mapping[str, str] = {
    "new to me|new music|new songs|new tracks|something new|unheard|undiscovered|discover|discovery|discoveries|"
    "unknown songs|havent heard|ive never heard|i have never heard|never heard|i havent heard|i have not heard|"
    "not heard before|havent heard before|surprise me|never played|new artists|not heard yet|havent heard yet": "new",
    "old favourites|old favorites|old favourite|old favorite|forgotten favourites|forgotten favorites|forgotten|"
    "rediscover|long lost|long time no hear|old loves|not heard in a while|i used to love|used to love|"
    "i used to listen to|used to listen to|i used to play|used to play|i used to like|used to like|"
    "i forgot|i forgot about|forgot about|ive forgotten|i have forgotten|i loved once|once loved": "forgotten",
    "favourites|favorites|favourite|favorite|my favourites|my favorites|most played|my top songs|best of mine|my hits|"
    "loved ones": "favourite",
    "known|familiar|songs i know|i know|well known to me|already heard|heard before|nothing new|no new songs|"
    "no new music|that i know": "known",
}
_SAVED = "liked songs|saved songs|my library|from my library|liked|saved|in my playlists|from my playlists|my likes"
_CLEAN = "clean|family friendly|kid friendly|for kids|no swearing|without swearing|child friendly"
_EXPLICIT = "explicit|swearing|swear words|profanity|cursing|explicit lyrics"
ARCS: Mapping[str, str] = {
    "build up|building up|rising|getting faster|getting louder|ramp up|ramping up|warm up|warming up|slowly rising|"
    "crescendo|energy rises|rising energy": "rise",
    "wind down|winding down|calming down|getting slower|cool down|cooling down|fade out|falling asleep|decrescendo|"
    "come down|slowing down": "fall",
    "peak|climax|with a peak|up and down": "peak",
    "steady|even energy|constant energy|flat energy|steady energy|constant pace|steady pace|no ups and downs": "flat",
}
NEW_SHARES: Mapping[str, str] = {
    "mostly new|mainly new|mostly unheard|mostly new music": "0.7",
    "half new|old and new|new and old|something new and something old|something old and something new|not only new|"
    "not just new|half old half new": "0.5",
    "some new|a few new|few new|a little new|a bit of new|some discoveries|a few discoveries": "0.3",
}
"""How large a part of the songs should not have been heard before."""
ERAS: Mapping[tuple[str, ...], tuple[int | None, int | None]] = {
    tuple(phrase.split()): span
    for words, span in {
        "oldies|golden oldies": (None, 45),
        "classics|classic|old school|oldschool|throwback|throwbacks|retro|vintage": (None, 20),
        "old songs|old music|old stuff|old tracks|old tunes|old hits": (None, 20),
        "modern|contemporary|modern day": (15, None),
        "recent|current|latest|newest|recently released": (2, None),
        "new releases|new release|newly released|just released|released recently|fresh releases": (1, None),
    }.items()
    for phrase in phrases(words)
}
"""Words for times, and how many years before the present one they begin and end; None: without an end."""
SONG_LENGTHS: Mapping[str, Span] = {
    "short": (0.0, 3.0),
    "shorter": (0.0, 3.0),
    "long": (6.0, 1440.0),
    "longer": (6.0, 1440.0),
}
"""Words before "songs", and the minutes of each song that they ask for."""
LANGUAGES = (
    "english french german spanish italian portuguese swedish norwegian danish finnish dutch russian polish japanese "
    "korean chinese mandarin arabic hindi turkish greek"
)
GENRES = phrases(
    "rock|pop|jazz|blues|soul|funk|disco|house|techno|trance|ambient|classical|folk|country|metal|punk|reggae|ska|dub|"
    "hip hop|rap|trap|r&b|indie|alternative|grunge|electronic|edm|electro|drum and bass|dubstep|garage|synthpop|"
    "shoegaze|post rock|new wave|singer songwriter|latin|salsa|bossa nova|samba|afrobeat|gospel|opera|soundtrack|"
    "k pop|j pop|indie rock|indie pop|hard rock|heavy metal|death metal|black metal|psychedelic|progressive rock|"
    "trip hop|"
    "idm|swing|bluegrass|americana|flamenco|tango|celtic|world music|chillwave|vaporwave|krautrock|emo|hardcore|"
    "chanson|"
    "schlager|piano|guitar"
)
"""Genres that are understood even if no song has them."""
GENRE_SPELLINGS: Mapping[str, str] = {
    "hiphop": "hip hop",
    "rnb": "r&b",
    "r and b": "r&b",
    "rhythm and blues": "r&b",
    "dnb": "drum and bass",
    "drum n bass": "drum and bass",
    "d&b": "drum and bass",
    "kpop": "k pop",
    "jpop": "j pop",
    "prog rock": "progressive rock",
    "synth pop": "synthpop",
    "electronica": "electronic",
    "dance music": "electronic",
    "rocknroll": "rock",
    "rock n roll": "rock",
    "rock and roll": "rock",
    "drum bass": "drum and bass",
    "jungle": "drum and bass",
}
Kind = Literal[
    "mood",
    "own",
    "hint",
    "modifier",
    "vocals",
    "instrumental",
    "heard",
    "saved",
    "clean",
    "explicit",
    "arc",
    "language",
    "genre",
    "new_share",
]


_PLAIN: Mapping[Kind, str] = {
    "vocals": _VOCALS,
    "instrumental": _INSTRUMENTAL,
    "saved": _SAVED,
    "clean": _CLEAN,
    "explicit": _EXPLICIT,
}


@dataclass(frozen=True)
class Meaning:
    """What a phrase stands for.

    Attributes:
        kind: What kind of wish it is.
        value: The key of a mood, a way of hearing, an arc, a genre, or a text.
        ranges: The ranges asked for.
        is_synonym: Whether it stands for a mood by another name.
    """

    kind: Kind
    value: str = ""
    ranges: Mapping[str, Span] = field(default_factory=dict)
    is_synonym: bool = False


def _listed() -> Iterator[tuple[Iterable[str], Meaning]]:
    """Phrases with their meaning; where two lists have the same phrase, the first counts."""
    yield from (([key], Meaning("mood", key)) for key in MOODS)
    yield from ((phrases(words), Meaning("modifier", words.split("|")[0], span)) for words, span in _MODIFIERS.items())
    for names, levels in _LEVELS.items():
        axis = names.split("|")[0]
        for level, span in levels.items():
            pairs = list(product(phrases(level), phrases(names)))
            both = [f"{one} {other}" for one, other in pairs] + [f"{other} {one}" for one, other in pairs]
            yield both, Meaning("modifier", f"{level.split('|')[0]} {axis}", {axis: span})
    for key, words in SYNONYMS.items():
        yield phrases(words), Meaning("mood", key, is_synonym=True)
    yield from ((phrases(words), Meaning("own", words.split("|")[0], span)) for words, span in OWN_MOODS.items())
    yield from ((phrases(words), Meaning("hint", words.split("|")[0], span)) for words, span in HINTS.items())
    yield from ((phrases(words), Meaning(kind)) for kind, words in _PLAIN.items())
    yield from ((phrases(words), Meaning("heard", heard)) for words, heard in HEARD.items())
    yield UNHEARD, Meaning("heard", "forgotten")
    yield from ((phrases(words), Meaning("arc", arc)) for words, arc in ARCS.items())
    yield from ((phrases(words), Meaning("new_share", share)) for words, share in NEW_SHARES.items())
    yield LANGUAGES.split(), Meaning("language")
    yield from (([genre], Meaning("genre", genre)) for genre in GENRES)
    yield from (([spelling], Meaning("genre", genre)) for spelling, genre in GENRE_SPELLINGS.items())


def _known_phrases() -> dict[str, Meaning]:
    found: dict[str, Meaning] = {}
    for listed, meaning in _listed():
        for phrase in listed:
            found.setdefault(phrase, meaning)
    return found


PHRASES: Mapping[tuple[str, ...], Meaning] = MappingProxyType(
    {tuple(phrase.split()): meaning for phrase, meaning in _known_phrases().items()}
)
"""All phrases by their words."""
LONGEST_PHRASE = max(map(len, PHRASES))
WORDS_OF_PHRASES = frozenset(word for phrase in PHRASES for word in phrase)
"""Words that are spelt right, though some mean nothing alone."""
WORDS_OF_ERAS = frozenset(word for phrase in ERAS for word in phrase)
KNOWN_WORDS = sorted({phrase[0] for phrase in PHRASES if len(phrase) == 1 and len(phrase[0]) > 3} - FILLERS)  # noqa: PLR2004
"""Words that a misspelt word may have meant."""

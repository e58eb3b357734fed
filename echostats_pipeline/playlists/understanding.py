"""What a text asks for: its wishes together, by the rules `PARSER`.

1. Words of a mood: the name of a preset beats other words for moods; of equals, ranges are intersected, and where that
   leaves nothing, everything between them is meant.
2. Time of day, weather and season narrow the mood as far as they do not contradict it.
3. Words for energy, brightness and tempo narrow it further; where they contradict the mood, they win.
4. "no", "not", "without" turn the next wish around, if it follows within two words; in a list that ends with "or", all.
5. "From A to B" asks for everything between the two, and for energy that runs from the one to the other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from echostats_pipeline.model.playlists import ARCS_IN_WORDS, Understanding, UnderstoodWords
from echostats_pipeline.playlists.measures import MOST_MINUTES
from echostats_pipeline.playlists.vocabulary import BOUNDS, MOODS, Span
from echostats_pipeline.playlists.words import KnownNames, Wish, read_text
from echostats_pipeline.playlists.years import FIRST_YEAR, LAST_YEAR

PARSER = "rules-1.1"
FULL: Span = (0.0, 1.0)
LANGUAGES_UNKNOWN = "Spotify does not say in which language a song is sung, so “{}” has no effect."


def understand(
    text: str,
    names: KnownNames | None = None,
    preferences: Mapping[str, Span] | None = None,
    this_year: int | None = None,
) -> Understanding:
    """What a text asks for. No text fails: words without a meaning are listed.

    Args:
        text: Any text.
        names: Tags and artists of the songs that there are to choose from.
        preferences: The user's own ranges, which count where the text names no mood.
        this_year: The present year; None if words like "this year" shall not be understood.
    """
    read = read_text(text, names, this_year)
    together = _Together(preferences or {})
    found: dict[str, Any] = {}
    wishes = together.turned(read.wishes, read.turns, found)
    ranges = together.ranges(wishes)
    for wish in wishes:
        together.add(wish, found)
    together.strangers(names, found)
    if read.speaks_of_plays and found.pop("years", None):
        together.notes.append(
            "When songs were played cannot be asked for, only when they were released: the years have no effect."
        )
    asks = any(span != BOUNDS[axis] for axis, span in ranges.items())
    return Understanding(
        parser=PARSER,
        moods=together.moods,
        energy=_listed(ranges["energy"]),
        brightness=_listed(ranges["brightness"]),
        tempo=_listed(ranges["tempo"]),
        asks_sound=asks or bool(together.features) or found.get("instrumental") is not None,
        features={axis: _listed(span) for axis, span in sorted(together.features.items())},
        understood=[UnderstoodWords(words=wish.words, meaning=together.meaning(wish)) for wish in wishes],
        contradictions=together.contradictions,
        unknown=list(dict.fromkeys(read.unknown)),
        near=read.near,
        notes=together.notes,
        **found,
    )


def meaning(wish: Wish) -> str:  # noqa: PLR0911 - one for each kind of wish
    """What follows from a wish, in plain words."""
    no = "not " if wish.is_denied else ""
    fixed = _FIXED.get((wish.kind, wish.is_denied))
    if fixed is not None:
        return fixed
    if wish.kind == "heard":
        return _HEARD[_denied_hearing(wish.value) if wish.is_denied else wish.value]
    if wish.is_denied and wish.kind in ("by", "like"):
        return f"no songs by {wish.value}"
    named = _NAMED.get(wish.kind) or _NAMED.get(f"{wish.kind} {wish.value}")
    if named is not None:
        return f"{no}{named.format(wish.value, wish.number)}"
    if wish.kind == "new_share":
        return f"about {wish.number or float(wish.value):.0%} songs not heard before"
    if wish.kind == "years":
        return f"{no}released {_years(*wish.ranges['year'])}"
    if wish.kind == "song_minutes":
        low, high = wish.ranges["minutes"]
        upper = "and more" if high >= MOST_MINUTES else f"to {high:g}"
        return f"{no or 'only '}songs of {low:g} {upper} minutes"
    spans = ", ".join(f"{axis} {_shown(axis, span)}" for axis, span in _ranges_of(wish).items()) or "no effect"
    return f"{no or 'mood '}{wish.value}: {spans}" if wish.kind == "mood" else spans


_FIXED = {
    ("vocals", False): "with singing",
    ("vocals", True): "without singing",
    ("instrumental", False): "without singing",
    ("instrumental", True): "with singing",
    ("saved", False): "only liked songs and songs of playlists",
    ("saved", True): "no effect",
    ("clean", False): "no explicit songs",
    ("clean", True): "explicit songs, too",
    ("explicit", False): "explicit songs, too",
    ("explicit", True): "no explicit songs",
    ("arc", True): "no effect",
    ("language", False): "no effect: languages are not known",
    ("language", True): "no effect: languages are not known",
}
_NAMED = {
    **{f"arc {arc}": words for arc, words in ARCS_IN_WORDS.items()},
    "minutes": "{1:g} minutes",
    "songs": "{1:g} songs",
    "per_artist": "at most {1:g} songs of an artist",
    "genre": "tag {0}",
    "like": "songs like those of {0}",
    "by": "only songs by {0}",
    "allowed": "tag {0} stays allowed",
}
_HEARD = {
    "new": "only songs not heard before",
    "known": "only songs heard before",
    "favourite": "only songs heard often",
    "forgotten": "only songs heard often, and not for half a year",
}


class _Together:
    """Puts the wishes of one text together."""

    def __init__(self, preferences: Mapping[str, Span]) -> None:
        self._preferences = preferences
        self.moods: list[str] = []
        self.features: dict[str, Span] = {}
        self.contradictions: list[str] = []
        self.notes: list[str] = []

    def meaning(self, wish: Wish) -> str:
        """What follows from a wish, in plain words; nothing, if the name of a preset beats it."""
        is_beaten = wish.kind in ("mood", "own") and not wish.is_denied and wish.value not in self.moods
        return f"gives way to {' and '.join(self.moods)}" if is_beaten else meaning(wish)

    def turned(self, wishes: Sequence[Wish], turns: Sequence[int], found: dict[str, Any]) -> list[Wish]:
        """The wishes, with one instead of two where the text goes over from one to another; sets the arc."""
        turned: list[Wish] = []
        for at, wish in enumerate(wishes):
            before = turned[-1] if turned else None
            if at not in turns or before is None or {before.kind, wish.kind} - {"mood", "own", "modifier", "range"}:
                turned.append(wish)
                continue
            one, other = _ranges_of(before), _ranges_of(wish)
            hull = {
                axis: (min(one[axis][0], other[axis][0]), max(one[axis][1], other[axis][1]))
                for axis in one
                if axis in other
            }
            axis = next((each for each in ("energy", "tempo", "brightness") if each in hull), "")
            if axis:
                found["arc"] = "rise" if sum(other[axis]) > sum(one[axis]) else "fall"
            name = f"{before.value or before.words} to {wish.value or wish.words}"
            turned[-1] = Wish(f"{before.words} to {wish.words}", "own", name, hull)
        return turned

    def ranges(self, wishes: Sequence[Wish]) -> dict[str, Span]:
        """The ranges of energy, brightness and tempo."""
        ranges = self._of_moods(wishes)
        for wish in wishes:
            if wish.kind == "hint":
                for axis, span in _ranges_of(wish).items():
                    both = _intersection(ranges[axis], span)
                    if both is None:
                        self._contradict(wish.words, axis, "the mood is kept")
                    else:
                        ranges[axis] = both
        others = {axis for wish in wishes for axis in wish.ranges} - {*BOUNDS, "year", "minutes"}
        for axis in (*BOUNDS, *sorted(others)):
            asked = [wish for wish in wishes if wish.kind in ("modifier", "range") and axis in _ranges_of(wish)]
            if not asked:
                continue
            span = self._intersected(axis, [(wish.words, _ranges_of(wish)[axis]) for wish in asked])
            before = ranges.get(axis, FULL)
            both = _intersection(before, span)
            if both is None:
                self._contradict(" and ".join(wish.words for wish in asked), axis, "these words win over the mood")
            ranges[axis] = both or span
        self.features = {axis: ranges.pop(axis) for axis in list(ranges) if axis not in BOUNDS}
        return ranges

    def _of_moods(self, wishes: Sequence[Wish]) -> dict[str, Span]:
        named = [wish for wish in wishes if wish.kind in ("mood", "own") and not wish.is_denied]
        presets = [wish for wish in named if wish.kind == "mood" and not wish.is_synonym]
        wanted = presets or named
        self.moods = list(dict.fromkeys(wish.value for wish in wanted))
        distinct = list({wish.value: wish for wish in wanted}.values())
        ranges = {axis: self._preferences.get(axis, bounds) for axis, bounds in BOUNDS.items()}
        for axis, bounds in BOUNDS.items():
            spans = [(wish.words, _ranges_of(wish)[axis]) for wish in distinct if axis in _ranges_of(wish)]
            if distinct:
                ranges[axis] = self._intersected(axis, spans) if spans else bounds
            elif ranges[axis] != bounds:
                low, high = ranges[axis]
                self.notes.append(f"By your preferences: {axis} {low:g} to {high:g}, as no mood is named.")
        for wish in wishes:
            if wish.kind in ("mood", "own") and wish.is_denied:
                for axis, span in _ranges_of(wish).items():
                    both = _intersection(ranges[axis], span)
                    if both is None:
                        self._contradict(wish.words, axis, "the mood that is asked for is kept")
                    else:
                        ranges[axis] = both
        return ranges

    def _intersected(self, axis: str, spans: Sequence[tuple[str, Span]]) -> Span:
        """What all spans share; where they share nothing, everything between the least and the largest value."""
        found = spans[0][1]
        for _, span in spans[1:]:
            both = _intersection(found, span)
            if both is None:
                words = " and ".join(f"“{words}”" for words, _ in spans)
                self.contradictions.append(f"{words} contradict each other in {axis}: everything between is taken.")
                return min(low for _, (low, _) in spans), max(high for _, (_, high) in spans)
            found = both
        return found

    def _contradict(self, words: str, axis: str, decision: str) -> None:
        self.contradictions.append(f"“{words}” contradicts the mood in {axis}: {decision}.")

    def strangers(self, names: KnownNames | None, found: Mapping[str, Any]) -> None:
        """Note which artists are not among the songs that there are to choose from."""
        for artist in found.get("artists", ()):
            if names is not None and artist not in names.artists:
                self.notes.append(f"There are no songs by “{artist}” to choose from.")

    def add(self, wish: Wish, found: dict[str, Any]) -> None:
        """Add the wishes that are not about ranges."""
        lists = {"genre": ("genres", "without_genres"), "by": ("artists", "without_artists")}
        lists |= {"like": ("like_artists", "without_artists"), "allowed": ("kept_genres", "kept_genres")}
        match wish.kind:
            case "vocals" | "instrumental":
                self._add_singing(wish, found)
            case "heard":
                found["heard"] = _denied_hearing(wish.value) if wish.is_denied else wish.value
            case "saved":
                found["saved"] = not wish.is_denied
            case "clean" | "explicit":
                found["clean"] = (wish.kind == "clean") != wish.is_denied
            case "arc":
                found["arc"] = None if wish.is_denied else wish.value
            case "language":
                self.notes.append(LANGUAGES_UNKNOWN.format(wish.words))
            case "minutes" | "songs" | "per_artist" | "new_share":
                self._add_number(wish, found)
            case "years" | "song_minutes":
                self._add_limits(wish, found)
            case kind if kind in lists:
                found.setdefault(lists[kind][wish.is_denied], []).append(wish.value)

    def _add_singing(self, wish: Wish, found: dict[str, Any]) -> None:
        instrumental = (wish.kind == "instrumental") != wish.is_denied
        if found.get("instrumental") not in (None, instrumental):
            self.contradictions.append(f"“{wish.words}” contradicts what was said before of singing: it wins.")
        found["instrumental"] = instrumental

    def _add_number(self, wish: Wish, found: dict[str, Any]) -> None:
        if wish.kind == "minutes" and "minutes" in found:
            found["minutes"] += wish.number
            self.notes.append(f"“{wish.words}” is added to the minutes before.")
        elif wish.kind == "new_share":
            found["new_share"] = wish.number or float(wish.value)
        else:
            found[wish.kind] = wish.number

    def _add_limits(self, wish: Wish, found: dict[str, Any]) -> None:
        if wish.kind == "years":
            self._add_years(wish, found)
        else:
            self._add_song_minutes(wish, found)

    def _add_years(self, wish: Wish, found: dict[str, Any]) -> None:
        low, high = wish.ranges["year"]
        if wish.is_denied:
            found.setdefault("without_years", []).append([low, high])
            return
        before = found.get("years")
        if before is None:
            found["years"] = [low, high]
            return
        gap = [min(before[1], high) + 1, max(before[0], low) - 1]
        if gap[0] <= gap[1]:
            found.setdefault("without_years", []).append(gap)
        found["years"] = [min(before[0], low), max(before[1], high)]

    def _add_song_minutes(self, wish: Wish, found: dict[str, Any]) -> None:
        low, high = wish.ranges["minutes"]
        if wish.is_denied and low > 0:
            found["song_minutes"] = [0.0, low]
        elif wish.is_denied:
            found["song_minutes"] = [high, float(MOST_MINUTES)]
        else:
            found["song_minutes"] = [low, high]


def _years(low: float, high: float) -> str:
    """A range of years in words, without the ends of time."""
    if low <= FIRST_YEAR:
        return f"until {high:.0f}"
    return f"since {low:.0f}" if high >= LAST_YEAR else f"{low:.0f} to {high:.0f}"


def _denied_hearing(heard: str) -> str:
    return "known" if heard == "new" else "new"


def _ranges_of(wish: Wish) -> Mapping[str, Span]:
    """The ranges that a wish asks for, turned around if it is denied; without those that have no opposite."""
    if wish.kind == "mood":
        mood = MOODS[wish.value]
        if not wish.is_denied:
            return mood.ranges
        return _opposites({mood.main: mood.ranges[mood.main]}) if mood.main else {}
    return _opposites(wish.ranges) if wish.is_denied else wish.ranges


def _opposites(ranges: Mapping[str, Span]) -> Mapping[str, Span]:
    found: dict[str, Span] = {}
    for axis, (low, high) in ranges.items():
        least, most = BOUNDS.get(axis, FULL)
        if low <= least and high < most:
            found[axis] = (high, most)
        elif (high >= most and low > least) or (axis == "tempo" and (low, high) == (120, 180)):
            found[axis] = (least, low)
    return found


def _intersection(one: Span, other: Span) -> Span | None:
    low, high = max(one[0], other[0]), min(one[1], other[1])
    is_point = low == high and (one[0] == one[1] or other[0] == other[1])
    return (low, high) if low < high or is_point else None


def _listed(span: Span) -> list[float]:
    return [round(float(value), 4) for value in span]


def _shown(axis: str, span: Iterable[float]) -> str:
    low, high = span
    return f"{low:g} to {high:g}{' bpm' if axis == 'tempo' else ''}"

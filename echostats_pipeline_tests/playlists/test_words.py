"""What words are understood as: a table of sentences, and texts that nobody would write."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.playlists import Understanding
from echostats_pipeline.playlists.understanding import understand
from echostats_pipeline.playlists.vocabulary import BOUNDS, MOODS, PHRASES
from echostats_pipeline.playlists.words import KnownNames
from echostats_pipeline_tests.playlists.sentences import ARTISTS, TAGS, rows

NAMES = KnownNames(TAGS, ARTISTS)
LETTERS = {"e": "energy", "b": "brightness", "t": "tempo"}


def described(asked: Understanding) -> set[str]:
    """What was understood, as the table writes it."""
    return set(_parts(asked))


def _parts(asked: Understanding) -> Iterator[str]:
    yield from (f"mood {mood}" for mood in asked.moods)
    for letter, axis in LETTERS.items():
        span = tuple(getattr(asked, axis))
        if span != BOUNDS[axis] or (asked.moods and axis in asked_axes(asked)):
            yield f"{letter} {_span(span)}"
    yield from (f"f {axis} {_span(tuple(span))}" for axis, span in asked.features.items())
    if asked.instrumental is not None:
        yield f"voice {'no' if asked.instrumental else 'yes'}"
    for name, number in (
        ("minutes", asked.minutes),
        ("songs", asked.songs),
        ("new", asked.new_share),
        ("artist", asked.per_artist),
    ):
        if number:
            yield f"{name} {number:g}"
    if asked.years:
        yield f"years {asked.years[0]:.0f}-{asked.years[1]:.0f}"
    yield from (f"no years {first:.0f}-{last:.0f}" for first, last in asked.without_years)
    if asked.song_minutes:
        yield f"each {_span(tuple(asked.song_minutes))}"
    yield from (f"may {each.words}" for each in asked.understood if each.meaning.endswith("stays allowed"))
    for name, values in (
        ("tag", asked.genres),
        ("no tag", asked.without_genres),
        ("by", asked.artists),
        ("like", asked.like_artists),
        ("no artist", asked.without_artists),
        ("unknown", asked.unknown),
        ("near", [each.word for each in asked.near if each.taken]),
    ):
        yield from (f"{name} {value}" for value in values)
    yield from (
        word
        for word, holds in (
            (f"heard {asked.heard}", asked.heard),
            ("saved", asked.saved),
            ("clean", asked.clean),
            (f"arc {asked.arc}", asked.arc),
            ("clash", asked.contradictions),
            ("note", asked.notes),
        )
        if holds
    )


def asked_axes(asked: Understanding) -> set[str]:
    """Axes that contradicting moods leave wide open."""
    return {axis for axis in BOUNDS if any(f" in {axis}" in each for each in asked.contradictions)}


def _span(span: tuple[float, ...]) -> str:
    return "-".join(f"{value:g}".replace("0.", ".") for value in span)


@pytest.mark.parametrize(("sentence", "expected"), rows(), ids=[sentence or "nothing" for sentence, _ in rows()])
def test_a_sentence_is_understood(sentence: str, expected: str) -> None:
    wanted = {part.strip() for part in expected.split(";") if part.strip()}
    assert described(understand(sentence, NAMES, this_year=2026)) == wanted


def test_the_table_has_two_hundred_sentences() -> None:
    assert len(dict(rows())) >= 200


WORDS = (
    "not",
    "no",
    "or",
    ",",
    "like",
    "by",
    "bpm",
    "90",
    "an",
    "hour",
    "between",
    "1990",
    "and",
    "0.4",
    "\0",
    "\ud800",
)


def odd_text(dice: Random) -> str:
    """Any characters, words in any order, or both."""
    phrases = [" ".join(each) for each in PHRASES]
    parts = [
        dice.choice((dice.choice(phrases), dice.choice(WORDS), "".join(chr(dice.randrange(0x3000)) for _ in range(7))))
        for _ in range(dice.randrange(12))
    ]
    return dice.choice((" ", "", ", ")).join(parts)


def test_no_text_of_ten_thousand_fails_and_every_range_is_one() -> None:
    dice = Random(16)
    for text in [odd_text(dice) for _ in range(10_000)]:
        asked = understand(text, NAMES)
        for axis, (least, most) in BOUNDS.items():
            low, high = getattr(asked, axis)
            assert least <= low <= high <= most, text
        assert all(0 <= low <= high <= 1 for low, high in asked.features.values()), text


@given(st.text())
def test_the_same_text_is_always_understood_alike(text: str) -> None:
    assert understand(text, NAMES) == understand(text, NAMES)


def test_what_is_said_of_words_is_what_was_done() -> None:
    asked = understand("cozy focus, no vocals", NAMES)
    said = {each.words: each.meaning for each in asked.understood}
    assert said == {
        "cozy": "gives way to focus",
        "focus": "mood focus: energy 0.3 to 0.7, brightness 0.2 to 0.6, tempo 90 to 130 bpm",
        "no vocals": "without singing",
    }


def test_a_word_that_is_a_little_like_a_known_one_is_only_suggested() -> None:
    asked = understand("hapiness", NAMES)
    assert [(each.known, each.taken) for each in asked.near] == [("happiness", True)]
    for other, known in (("happen", "happier"), ("bappiness", "happiness")):
        asked = understand(other, NAMES)
        assert [(each.known, each.taken) for each in asked.near] == [(known, False)]
        assert asked.unknown == [other]
    assert understand("qqqqq", NAMES).near == []


def test_preferences_count_where_no_mood_is_named() -> None:
    preferences = {"energy": (0.2, 0.8)}
    narrowed = understand("jazz", NAMES, preferences)
    assert narrowed.energy == [0.2, 0.8]
    assert narrowed.notes == ["By your preferences: energy 0.2 to 0.8, as no mood is named."]
    assert understand("happy", NAMES, preferences).notes == []
    assert understand("happy", NAMES, preferences).energy == [0.6, 1.0]


def test_the_six_moods_are_those_of_the_seed() -> None:
    assert [(key, mood.icon, mood.order) for key, mood in MOODS.items()] == [
        ("happy", "😊", 1),
        ("sad", "😢", 2),
        ("energetic", "⚡", 3),
        ("chill", "😌", 4),
        ("focus", "🎯", 5),
        ("party", "🎉", 6),
    ]

"""Sentences as people write them, and what each should be understood as.

Each line of ``sentences.txt`` is ``sentence => expectation``. An expectation lists what differs from asking for
nothing, separated by ``;``: ``e`` energy, ``b`` brightness and ``t`` tempo as ``low-high``; ``mood``; ``voice no`` or
``voice yes``; ``minutes``; ``songs``; ``each`` for the minutes of each song; ``artist`` for most songs of one;
``new`` for the share of new songs; ``years``, ``no years``; ``tag``, ``no tag``, ``may`` for what stays allowed;
``by``, ``like``, ``no artist``; ``heard``; ``saved``; ``clean``; ``arc``; ``f`` with another feature; ``unknown``;
``near`` for a word that was taken for another; ``clash`` for contradictions; ``note`` for what cannot be done.
"""

from pathlib import Path

ARTISTS = (
    "Radiohead",
    "Bon Iver",
    "The Beatles",
    "Sigur Rós",
    "Daft Punk",
    "Nina Simone",
    "Chill",
    "Air",
    "Low",
    "Muse",
    "The 1975",
    "Björk",
    "Rage Against the Machine",
)
TAGS = ("indie rock", "dream pop", "jazz", "vocal jazz", "hip hop", "post-rock", "deep house", "folk", "neo-soul")

TABLE = Path(__file__).with_name("sentences.txt")


def rows() -> list[tuple[str, str]]:
    """The sentences with their expectations."""
    found = [line.partition("=>") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return [(sentence.strip(), expected.strip()) for sentence, _, expected in found]

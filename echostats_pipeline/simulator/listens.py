"""What clients have submitted to the simulated ListenBrainz.

Belongs here: which listens are kept, and how many came twice. Not here: checks and answers (``listenbrainz``).
"""

from typing import Any

Key = tuple[int, str, str]


class Listens:
    """The listens of all tokens. Like ListenBrainz, it keeps one listen of a user, second and song."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[Key, dict[str, Any]]] = {}
        self._received = 0
        self._repeated = 0
        self._other = 0

    def add(self, token: str, listens: list[dict[str, Any]]) -> None:
        """Keep listens; what is there already is counted, and also whether it came with other contents."""
        kept = self._kept.setdefault(token, {})
        for listen in listens:
            metadata = listen["track_metadata"]
            key = (listen["listened_at"], metadata["artist_name"], metadata["track_name"])
            self._received += 1
            if key in kept:
                self._repeated += 1
                self._other += kept[key] != listen
            else:
                kept[key] = listen

    def report(self) -> dict[str, Any]:
        """``received``, ``exact_doubles`` and how many of these had ``other_contents``; ``listens`` that are kept."""
        kept = [listen for of_token in self._kept.values() for _, listen in sorted(of_token.items())]
        return {
            "received": self._received,
            "exact_doubles": self._repeated,
            "other_contents": self._other,
            "listens": kept,
        }

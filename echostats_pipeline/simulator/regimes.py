"""Access regimes: the endpoints and fields that Spotify has removed for some apps.

Belongs here: refusals per regime and the fields that Spotify removed in February 2026. Not here: contents of
playlists, which depend on the user (``api``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from echostats_pipeline.simulator.behaviour import ArtistGenres, Behaviour, Regime
from echostats_pipeline.simulator.refusal import ApiError


@dataclass(frozen=True, slots=True)
class Refusal:
    """The regimes whose apps get 403, and the message; a message of None leaves the key out."""

    regimes: frozenset[Regime]
    message: str | None


REMOVED_2026 = Refusal(frozenset({"restricted_dev"}), "Forbidden")
REMOVED_2024 = Refusal(frozenset({"legacy_dev", "restricted_dev"}), None)

_REMOVED_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "track": frozenset({"available_markets", "linked_from", "popularity", "preview_url"}),
        "album": frozenset({"album_group", "available_markets", "label", "popularity"}),
        "artist": frozenset({"followers", "genres", "popularity"}),
        "user": frozenset({"country", "email", "explicit_content", "followers", "product"}),
        "playlist": frozenset({"tracks"}),
        "show": frozenset({"available_markets", "publisher"}),
    }
)


def refuse(refusal: Refusal | None, regime: Regime) -> None:
    """Refuse a call if the regime does not have the endpoint.

    Raises:
        ApiError: 403, the regime does not have the endpoint.
    """
    if refusal is not None and regime in refusal.regimes:
        raise ApiError(403, refusal.message)


def cut(body: Any, behaviour: Behaviour) -> Any:
    """Return `body` without the keys that the regime does not have, at any depth."""
    form = behaviour.artist_genres
    kept = frozenset({"genres"}) if form in {"filled", "empty", "null"} else frozenset[str]()
    cut_body = _without_removed(body, kept) if behaviour.regime == "restricted_dev" else body
    return cut_body if form in {"regime", "filled"} else _with_genres(cut_body, form)


def playlist_row_keys(behaviour: Behaviour) -> tuple[str, ...]:
    """Return the names under which rows of ``/playlists/{id}/items`` hold their track."""
    match behaviour.row_keys:
        case "track":
            return ("track",)
        case "regime" if behaviour.regime == "restricted_dev":
            return ("item",)
        case _:
            return ("item", "track")


def _without_removed(body: Any, kept: frozenset[str]) -> Any:
    if isinstance(body, list):
        return [_without_removed(entry, kept) for entry in body]
    if not isinstance(body, dict):
        return body
    removed = _REMOVED_FIELDS.get(body.get("type", ""), frozenset()) - kept
    return {key: _without_removed(value, kept) for key, value in body.items() if key not in removed}


def _with_genres(body: Any, form: ArtistGenres) -> Any:
    """Return `body` with the genres of full artists empty, null or absent."""
    if isinstance(body, list):
        return [_with_genres(entry, form) for entry in body]
    if not isinstance(body, dict):
        return body
    changed = {key: _with_genres(value, form) for key, value in body.items()}
    if body.get("type") == "artist" and "genres" in changed:
        del changed["genres"]
        if form != "absent":
            changed["genres"] = [] if form == "empty" else None
    return changed

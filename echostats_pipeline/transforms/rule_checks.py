"""Finds the reason why a new rule must be refused beside the rules that there are."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations

from echostats_pipeline.model.catalog import ArtistRef
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.history.identity import folded_name

LONGEST_TEXT = 1_000
"""Most characters of a note or a name: longer ones break tables and charts, and Spotify has no longer names."""
CONTENT = ("kind", "exclude", "track_ids", "artists", "rename")
Keys = Sequence[str]


def refusal(rule: Rule, others: Sequence[Rule]) -> str:
    """Why a rule must not be added to others of the user; empty if it may."""
    for what, text in _texts(rule):
        if len(text) > LONGEST_TEXT:
            return f"The {what} has {len(text):,} characters; at most {LONGEST_TEXT:,} are possible. Shorten it."
    same = next((other for other in others if _content(other) == _content(rule)), None)
    if same is not None:
        return f"The rule {same.rule_id} says this already."
    if rule.kind in ("same_song", "different"):
        return _about_songs(rule, others)
    if rule.artists is not None:
        return _about_artists(rule.artists, others)
    return _about_names(rule, others) if rule.rename is not None else ""


def _texts(rule: Rule) -> Iterator[tuple[str, str]]:
    """The texts of a rule that have no fixed form, and what each is."""
    yield "note", rule.note
    named = [*(rule.artists or ()), *((rule.exclude.artist, rule.exclude.album) if rule.exclude is not None else ())]
    yield from (("name", each.name) for each in named if each is not None)
    if rule.rename is not None:
        yield from (("name", rule.rename.name), ("new name", rule.rename.shown_name))


def _content(rule: Rule) -> list[object]:
    return [getattr(rule, name) for name in CONTENT]


def _about_songs(rule: Rule, others: Sequence[Rule]) -> str:
    tracks = rule.track_ids or []
    if twice := next((track for track in tracks if tracks.count(track) > 1), None):
        return f"The track {twice} is named twice. Name different tracks."
    joining = {other.rule_id: other.track_ids or [] for other in others if other.kind == "same_song"}
    apart = {other.rule_id: other.track_ids or [] for other in others if other.kind == "different"}
    if rule.kind == "different":
        for one, other in combinations(tracks, 2):
            if chain := _chain(joining, one, other):
                return f"{_rules(chain)} {_verb(chain, 'make')} {one} and {other} one song. Remove {_it(chain)} first."
        return ""
    if chain := _chain(joining, *tracks):
        return f"{_rules(chain)} {_verb(chain, 'make')} these tracks one song already."
    together = {"the new rule": tracks, **joining}
    for rule_id, different in apart.items():
        for one, other in combinations(different, 2):
            if _chain(together, one, other):
                return (
                    f"The rule {rule_id} says that {one} and {other} are different songs; this rule would make them "
                    "one. Remove that rule first, or leave out one of the tracks."
                )
    return ""


def _about_artists(artists: Sequence[ArtistRef], others: Sequence[Rule]) -> str:
    for one, other in combinations(artists, 2):
        if is_same_artist(one, other):
            return f"The artist {other.name or other.spotify_id} is named twice. Name different artists."
    joining = {other.rule_id: _keys(other.artists) for other in others if other.artists is not None}
    if chain := _chain(joining, *_keys(artists)):
        return f"{_rules(chain)} {_verb(chain, 'make')} these artists one already."
    return ""


def _about_names(rule: Rule, others: Sequence[Rule]) -> str:
    for other in others:
        if rule.rename is None or other.rename is None or other.rename.what != rule.rename.what:
            continue
        refs = (ArtistRef(spotify_id=each.spotify_id, name=each.name) for each in (rule.rename, other.rename))
        if is_same_artist(*refs):
            return (
                f"The rule {other.rule_id} shows this {other.rename.what} as {other.rename.shown_name} already. "
                f"Remove that rule first."
            )
    return ""


def is_same_artist(one: ArtistRef, other: ArtistRef) -> bool:
    """Whether two references mean the same: by their ids, or by the name if one has no id."""
    if one.spotify_id and other.spotify_id:
        return one.spotify_id == other.spotify_id
    return bool(one.name) and folded_name(one.name) == folded_name(other.name)


def _keys(artists: Iterable[ArtistRef]) -> list[str]:
    return [artist.spotify_id or f"name:{folded_name(artist.name)}" for artist in artists]


def _chain(joining: Mapping[str, Keys], *keys: str) -> list[str]:
    """The rules that join all of these, directly or through others; empty if they do not."""
    reached, used = {keys[0]}, list[str]()
    while more := [rule_id for rule_id, those in joining.items() if rule_id not in used and reached & set(those)]:
        used += more
        reached |= {key for rule_id in more for key in joining[rule_id]}
    if not reached.issuperset(keys):
        return []
    needed = list(used)
    for rule_id in used:  # rules without which they are joined as well say nothing
        rest = {name: joining[name] for name in needed if name != rule_id}
        if _joins(rest, keys):
            needed.remove(rule_id)
    return needed


def _joins(joining: Mapping[str, Keys], keys: Keys) -> bool:
    reached, left = {keys[0]}, dict(joining)
    while more := [rule_id for rule_id, those in left.items() if reached & set(those)]:
        reached |= {key for rule_id in more for key in left.pop(rule_id)}
    return reached.issuperset(keys)


def _rules(ids: Sequence[str]) -> str:
    return f"The rule {ids[0]}" if len(ids) == 1 else f"The rules {', '.join(ids[:-1])} and {ids[-1]}"


def _verb(ids: Sequence[str], verb: str) -> str:
    return f"{verb}s" if len(ids) == 1 else verb


def _it(ids: Sequence[str]) -> str:
    return "it" if len(ids) == 1 else "one of them"

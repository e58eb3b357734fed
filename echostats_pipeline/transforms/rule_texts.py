"""Says in words what a rule does."""

from collections.abc import Mapping, Sequence

from echostats_pipeline.model.rules import Exclusion, Rule

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NO_TITLES: Mapping[str, str] = {}


def described(rule: Rule, titles: Mapping[str, str] = NO_TITLES) -> str:
    """What a rule does, in a few words.

    Args:
        rule: The rule.
        titles: How tracks are called, by id, and contexts, by uri; the id or uri itself is shown for others.
    """
    if rule.exclude is not None:
        return f"leave out plays {_conditions(rule.exclude, titles)}"
    if rule.rename is not None:
        renaming = rule.rename
        name = titles.get(renaming.spotify_id, "") if renaming.what == "track" else renaming.name
        return f"show the {renaming.what} {name or renaming.spotify_id} as {renaming.shown_name}"
    if rule.artists is not None:
        return f"count {_listed([artist.name or artist.spotify_id for artist in rule.artists], 'and')} as one artist"
    tracks = _listed(_told_apart(rule.track_ids or (), titles), "and")
    return f"count {tracks} as one song" if rule.kind == "same_song" else f"never count {tracks} as one song"


def left_out_text(plays: int, rules: int) -> str:
    """How many plays rules leave out: ``412 plays left out by 2 rules``; empty without any."""
    if not rules:
        return ""
    return f"{plays:,} {'play' if plays == 1 else 'plays'} left out by {rules:,} {'rule' if rules == 1 else 'rules'}"


def _conditions(conditions: Exclusion, titles: Mapping[str, str]) -> str:
    parts = []
    if conditions.track_ids:
        named = dict.fromkeys(titles.get(track, track) for track in conditions.track_ids)
        parts.append(f"of {_listed(list(named), 'or')}")
    if conditions.artist is not None:
        parts.append(f"by the artist {conditions.artist.name}")
    if conditions.album is not None:
        parts.append(f"on the album {conditions.album.name}")
    if conditions.context_uri:
        parts.append(f"from {titles.get(conditions.context_uri, conditions.context_uri)}")
    if conditions.from_hour is not None:
        parts.append(f"from {conditions.from_hour:02}:00 to {conditions.to_hour:02}:00")
    if conditions.weekdays:
        parts.append(f"on {_listed([WEEKDAYS[day] for day in conditions.weekdays], 'or')}")
    if conditions.from_date == conditions.to_date and conditions.from_date:
        parts.append(f"on {conditions.from_date}")
    elif conditions.from_date or conditions.to_date:
        since = f"since {conditions.from_date}" if conditions.from_date else ""
        parts.append(" ".join(filter(None, (since, f"until {conditions.to_date}" if conditions.to_date else ""))))
    if conditions.private_session:
        parts.append("in private sessions")
    return ", ".join(parts)


def _told_apart(tracks: Sequence[str], titles: Mapping[str, str]) -> list[str]:
    """What tracks are called; those that share a title have their ids too."""
    names = [titles.get(track, track) for track in tracks]
    return [f"{name} ({track})" if names.count(name) > 1 else name for track, name in zip(tracks, names, strict=True)]


def _listed(names: Sequence[str], joint: str) -> str:
    return f" {joint} ".join(filter(None, (", ".join(names[:-1]), names[-1])))

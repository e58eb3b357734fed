"""Health checks of `echostats doctor`: database, keys, users, catalogue and clock.

Each function checks one thing and returns findings. If a check cannot run, `examined` reports that as a finding, too.
Not here: the checks of this machine (`machine`) and of Dagster (`orchestration.health`), and how findings are shown
(`cli.doctor`).
"""

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args

from pymongo.errors import PyMongoError

from echostats_pipeline.accounts.consent import EXPIRES_SOON, URGENT, consent_left
from echostats_pipeline.accounts.key_rotation import stored_values
from echostats_pipeline.errors import APP_FAMILY, DecryptionError, EchostatsError
from echostats_pipeline.model.collections import declared
from echostats_pipeline.model.users import SpotifyTokens, User, timezones
from echostats_pipeline.monitoring.incidents import one_line
from echostats_pipeline.report.formatting import plural
from echostats_pipeline.settings import Settings
from echostats_pipeline.spotify.crypto import TokenCipher
from echostats_pipeline.spotify.families import Family
from echostats_pipeline.spotify.quota import Budget, calls_allowed
from echostats_pipeline.stages.artist_tags import tag_progress
from echostats_pipeline.stages.library_progress import libraries
from echostats_pipeline.storage.adoption import echostats_traces
from echostats_pipeline.storage.conformity import misfits
from echostats_pipeline.storage.indexes import REPAIR_COMMAND, index_problems
from echostats_pipeline.storage.mongo_errors import explanation
from echostats_pipeline.storage.store import Store
from echostats_pipeline.storage.validators import validator_problems

Level = Literal["ok", "warning", "problem"]
GIB = 1024**3
LITTLE_SPACE, NO_SPACE = 5 * GIB, GIB // 2
"""Free bytes of a disk below which `space` warns, and below which it reports a problem."""
OLDEST_MONGOD = (5, 0)
NEARLY_USED_UP = 0.9
"""Share of the daily budget of calls from which `quota` warns."""
CLOCKS_APART, CLOCKS_FAR_APART = timedelta(seconds=5), timedelta(minutes=2)
"""Difference between two clocks from which `clock` warns, and from which it reports a problem."""
MISSED_SYNCS = 4
"""Sync intervals without a sync that count as trouble: more than one run that waits or fails."""
MOST_MISFITS = 20
"""Most unreadable values that are listed; further ones are counted."""
REFRESH_UNUSED = timedelta(days=30)
"""Age of the stored tokens from which `users` warns."""
LIBRARY_FIX = "Leave `echostats up` running, which continues every day; a higher SPOTIFY_DAILY_CALLS makes it faster"


@dataclass(frozen=True)
class HealthFinding:
    """The result of one check.

    Attributes:
        area: What was checked.
        level: How serious it is.
        text: The result in one sentence, with numbers.
        fix: A command to run, or a place in the UI to look at; empty if nothing needs to be done.
    """

    area: str
    level: Level
    text: str
    fix: str = ""


HealthFindings = Iterator[HealthFinding]


def examined(area: str, look: Callable[[], HealthFindings], fix: str = "") -> list[HealthFinding]:
    """Return the findings of `look`; if it raises, a problem that says so. The other checks go on either way."""
    found = []
    try:
        for finding in look():
            found.append(finding)  # noqa: PERF402 - findings before an error are kept
    except EchostatsError as error:
        found.append(HealthFinding(area, "problem", str(error), fix))
    except PyMongoError as error:
        found.append(HealthFinding(area, "problem", explanation(error), fix))
    except Exception as error:  # noqa: BLE001 - an error in one check must not stop the others
        found.append(
            HealthFinding(
                area, "problem", f"This check could not run ({type(error).__name__}: {one_line(str(error))}).", fix
            )
        )
    return found


def database(store: Store) -> HealthFindings:
    """Check that the server is new enough and has room."""
    version = str(store.db.client.server_info()["version"])
    release = tuple(int(part) for part in version.split(".")[:2])
    new_enough = release >= OLDEST_MONGOD
    yield HealthFinding(
        "database",
        "ok" if new_enough else "problem",
        f"MongoDB {version} answers; database {store.db.name}.",
        "" if new_enough else "Upgrade the server of MONGO_URI to MongoDB 5.0 or newer.",
    )
    stats = store.db.command("dbStats")
    if "fsTotalSize" in stats:
        free = int(stats["fsTotalSize"] - stats["fsUsedSize"])
        data = float(stats["storageSize"] + stats["indexSize"])
        yield space("database", free, f"{human_size(data)} of data and indexes", "the disk of the database")


def space(area: str, free_bytes: int, used: str, where: str) -> HealthFinding:
    """Check the free space: below 5 GiB is a warning, below 0.5 GiB a problem."""
    level: Level = "problem" if free_bytes < NO_SPACE else "warning" if free_bytes < LITTLE_SPACE else "ok"
    fix = "" if level == "ok" else f"Make room on {where}: without it nothing can be stored."
    return HealthFinding(area, level, f"{human_size(free_bytes)} free on {where}; {used}.", fix)


def indexes(store: Store) -> HealthFindings:
    """Check that every declared index exists with its declared options."""
    problems = index_problems(store.db, store.databases)
    missing = [each.name for each in problems if each.found is None]
    wrong = [each.name for each in problems if each.found is not None]
    total = sum(len(collection.indexes) for collection in declared(store.databases).values())
    expiring = sum(i.expire_after_seconds is not None for c in declared(store.databases).values() for i in c.indexes)
    if wrong:
        text = f"{len(wrong)} indexes contradict their declaration: {_few(wrong)}."
        yield HealthFinding("indexes", "problem", text, REPAIR_COMMAND)
    if missing:
        text = f"{len(missing)} of {total} indexes are missing: {_few(missing)}."
        yield HealthFinding("indexes", "warning", text, "echostats indexes (the next run creates them, too)")
    if unchecked := validator_problems(store.db, store.databases):
        text = f"{len(unchecked)} collections do not check what is written to them: {_few(unchecked)}."
        yield HealthFinding("indexes", "warning", text, "echostats indexes (the next run creates them, too)")
    if not wrong and not missing:
        yield HealthFinding("indexes", "ok", f"All {total} indexes exist; {expiring} of these let old entries expire.")


def encryption(store: Store, cipher: TokenCipher | None) -> HealthFindings:
    """Check that stored tokens can be decrypted; `cipher` is None if there is no key yet."""
    values = stored_values(store.users, store.scrobbles)
    if cipher is None:
        text = f"There is no encryption key, and {len(values)} tokens are stored."
        fix = "Restore encryption.key from a backup, or connect every account again: echostats connect"
        yield HealthFinding("key", "problem" if values else "ok", text, fix if values else "")
        return
    unreadable = sum(not _readable(cipher, value, user_id) for value, user_id in values)
    former = sum(cipher.key_id_of(value, user_id) != cipher.key_id for value, user_id in values) - unreadable
    if unreadable:
        text = f"{unreadable} of {len(values)} tokens cannot be decrypted with the configured keys."
        fix = "echostats keys status; name the former key in ENCRYPTION_KEYS_OLD, or connect these accounts again"
        yield HealthFinding("key", "problem", text, fix)
    if former > 0:
        yield HealthFinding(
            "key", "warning", f"{former} tokens are still encrypted with a former key.", "echostats keys rotate"
        )
    if not unreadable and former <= 0:
        yield HealthFinding("key", "ok", f"All {len(values)} stored tokens decrypt with key {cipher.key_id}.")


def users(store: Store, settings: Settings, now: datetime) -> HealthFindings:
    """Check every user: status, consent, last sync, tokens."""
    known = store.users.all(simulated=settings.simulated)
    tokens = {each.user_id: each for each in store.users.all_tokens()}
    if not known:
        yield HealthFinding("users", "warning", "No user is connected.", "echostats connect, or echostats demo")
    for user in known:
        yield _user(user, tokens.get(user.user_id), timedelta(minutes=settings.sync_interval_minutes), now)


def _user(user: User, tokens: SpotifyTokens | None, interval: timedelta, now: datetime) -> HealthFinding:
    key, left = user.partition_key, consent_left(user, now)
    again = "Let the user connect again: echostats connect"
    if user.status == "needs_reauth" or tokens is None:
        reason = user.status_reason or (
            "no tokens are stored" if tokens is None else "Spotify no longer accepts the consent"
        )
        return HealthFinding("users", "problem", f"{key} has to connect again: {reason}.", again)
    if user.status == "paused":
        text = f"{key} is paused{f': {user.status_reason}' if user.status_reason else ''}."
        return HealthFinding("users", "warning", text, f"echostats users resume {key}")
    lasts = (
        "the end of the consent is unknown"
        if left is None
        else f"consent for {plural(max(math.ceil(left / timedelta(days=1)), 0), 'day')}"
    )
    synced = f"synced {_span(now - user.last_synced_at)} ago" if user.last_synced_at else "never synced"
    text = f"{key}: {synced}, {lasts}, tokens renewed {_span(now - tokens.updated_at)} ago."
    if left is not None and left <= EXPIRES_SOON:
        return HealthFinding("users", "problem" if left <= URGENT else "warning", text, again)
    if user.last_synced_at is None or now - user.last_synced_at > MISSED_SYNCS * interval:
        return HealthFinding("users", "warning", text, "echostats up; its sensor's ticks in the Dagster UI say why")
    if now - tokens.updated_at > REFRESH_UNUSED:
        return HealthFinding("users", "warning", text, again)
    return HealthFinding("users", "ok", text)


def library(store: Store, settings: Settings, now: datetime) -> HealthFindings:
    """Check which libraries are not completely read yet, and when they will be."""
    active = [user for user in store.users.all(simulated=settings.simulated) if user.status == "active"]
    complete = 0
    for user, parts in libraries(store, active, settings.daily_calls, now):
        known = [part for part in parts if part.is_known]
        if not known:  # the next run after the first sync begins to read it
            continue
        if all(part.is_complete for part in parts):
            complete += 1
            continue
        text = f"The library of {user.partition_key} is not complete: {'; '.join(part.text for part in parts)}."
        yield HealthFinding("library", "warning", text, LIBRARY_FIX)
    if complete or not active:
        yield HealthFinding("library", "ok", f"{complete} of {len(active)} libraries are completely read.")


def echostats(store: Store, settings: Settings) -> HealthFindings:
    """Check whether EchoStats uses this database, too: adopted users, and what its API does with our snapshots."""
    traces, known = echostats_traces(store.db), store.users.all()
    adopted = [user for user in known if user.adopted_at is not None]
    waiting = store.users.not_adopted()
    if adopted:
        plays = sum(store.users.plays_stored(user.user_id) for user in adopted)
        named = _few([user.partition_key for user in adopted])
        yield HealthFinding(
            "EchoStats",
            "ok",
            f"{plural(len(adopted), 'user')} {'was' if len(adopted) == 1 else 'were'} adopted from EchoStats: {named}; "
            f"{plural(plays, 'play')}.",
        )
    if waiting:
        text = f"{plural(waiting, 'user')} of EchoStats {'is' if waiting == 1 else 'are'} not adopted yet."
        yield HealthFinding("EchoStats", "warning", text, "Nothing to do: echostats up, and every run, adopts them.")
    if not traces:
        if not adopted and not waiting:
            yield HealthFinding("EchoStats", "ok", "EchoStats itself does not use this database.")
    elif settings.min_play_ms:
        text = (
            f"EchoStats uses this database too ({_few(traces)}). With ECHOSTATS_MIN_PLAY_MS={settings.min_play_ms} its "
            "API overwrites our snapshots: it expects every play to count, and takes them for outdated."
        )
        yield HealthFinding("EchoStats", "warning", text, "ECHOSTATS_MIN_PLAY_MS=0, then echostats backfill")
    else:
        text = f"EchoStats uses this database too ({_few(traces)}), and every play counts, as it expects."
        yield HealthFinding("EchoStats", "ok", text)


def values(store: Store) -> HealthFindings:
    """Check for unreadable values in documents that other programs have written."""
    found = list(misfits(store.db, MOST_MISFITS))
    for each in found[:MOST_MISFITS]:
        yield HealthFinding(
            "values", "warning", f"{each.text}.", "Correct the field in MongoDB; all other fields are read."
        )
    if len(found) > MOST_MISFITS:
        yield HealthFinding(
            "values", "warning", f"{len(found) - MOST_MISFITS} more values cannot be read.", "As above."
        )
    if not found:
        yield HealthFinding("values", "ok", "All values in the collections shared with EchoStats can be read.")


def quota(store: Store, daily_calls: int, now: datetime) -> HealthFindings:
    """Compare the calls of 24 hours with the budget, and list the families of endpoints that wait."""
    window = Budget().window
    made: Mapping[str, int] = {name: store.limits.calls(name, now - window)[0] for name in get_args(Family)}
    allowed = {name: most for name in get_args(Family) if (most := calls_allowed(name, daily_calls)) is not None}
    limited = {name: count for name, count in made.items() if count and name in allowed}
    counted = ", ".join(f"{name} {count:,} of {allowed[name]:,}" for name, count in limited.items())
    used_up = [name for name, count in limited.items() if count >= allowed[name]]
    nearly = [
        name for name, count in limited.items() if name not in used_up and count >= NEARLY_USED_UP * allowed[name]
    ]
    waits = store.limits.waiting([*made, APP_FAMILY], now)
    text = f"Calls in 24 hours: {counted or 'none with a limit'}."
    later = "Missing data is read on the following days. SPOTIFY_DAILY_CALLS is the budget."
    yield HealthFinding("quota", "warning" if used_up or nearly else "ok", text, later if used_up or nearly else "")
    for name, (until, reason) in sorted(waits.items()):
        what = "Everything" if name == APP_FAMILY else name
        text = f"{what} waits until {until:%Y-%m-%d %H:%M} UTC: {reason}."
        yield HealthFinding(
            "quota", "problem" if name == APP_FAMILY else "warning", text, "Calls continue by themselves after that."
        )


def genres(store: Store, settings: Settings, now: datetime) -> HealthFindings:
    """Say for how many artists genres are known, and check that MusicBrainz knows whom to write to."""
    if not settings.genres:
        yield HealthFinding("genres", "ok", "No source is asked for genres: ECHOSTATS_GENRES is none.")
        return
    progress = tag_progress(store, settings.genres, now)
    yield HealthFinding("genres", "ok", f"Genres: {progress.text}. Sources: {', '.join(settings.genres)}.")
    if "musicbrainz" in settings.genres and settings.contact is None and not settings.simulated:
        yield HealthFinding(
            "genres",
            "warning",
            "MusicBrainz asks each installation for a contact, and none is set.",
            "Set ECHOSTATS_CONTACT to your mail or web address.",
        )


def scrobbles(store: Store) -> HealthFindings:
    """Check the services to which plays are sent on, if there are any."""
    keys = {user.user_id: user.partition_key for user in store.users.all()}
    for target in store.scrobbles.targets():
        key, counts = keys.get(target.user_id, target.user_id), store.scrobbles.counts(target)
        if target.refusal:
            fix = f"echostats scrobble --user {key} --to {target.target} --token-file FILE, or --stop"
            yield HealthFinding("scrobbles", "problem", f"{key}: {target.refusal}", fix)
        else:
            refused = f", which refused {counts['refused']:,}" if "refused" in counts else ""
            text = f"{key}: {plural(counts.get('sent', 0), 'play')} sent on to {target.target}{refused}."
            yield HealthFinding("scrobbles", "ok", text)


def incidents(store: Store, addresses: int) -> HealthFindings:
    """List the open incidents, and check that notices have an address to go to."""
    opened = store.incidents.open()
    if not addresses:
        yield HealthFinding(
            "alerts",
            "warning",
            "No notices are sent: ECHOSTATS_ALERTS is empty.",
            "Set ECHOSTATS_ALERTS; echostats alerts test",
        )
    untold = sum(incident.notified_at is None for incident in opened)
    text = f"Open incidents: {len(opened)}, not yet notified: {untold}; addresses in ECHOSTATS_ALERTS: {addresses}."
    yield HealthFinding("alerts", "warning" if opened else "ok", text, "echostats alerts list" if opened else "")


def removed_users(store: Store) -> HealthFindings:
    """Check for documents of removed users."""
    removed, left = len(store.removals.ids()), store.removals.leftovers()
    total = sum(left.values())
    text = f"Users removed: {removed}; documents of theirs: {total}"
    if left:
        named = ", ".join(f"{name} {count:,}" for name, count in left.items())
        fix = "Nothing to do: the job retention deletes them tonight. Now: Jobs, retention, Launchpad in the Dagster UI"
        yield HealthFinding("removed", "warning", f"{text} ({named}).", fix)
    else:
        yield HealthFinding("removed", "ok", f"{text}.")


def database_clock(store: Store) -> datetime:
    """The time of the database's server, which is the same for all machines that use it."""
    told: datetime = store.db.client.admin.command("hello")["localTime"]
    return told.replace(tzinfo=UTC)


def clock(store: Store, now: datetime) -> HealthFindings:
    """Check that this machine and the database agree on the time, and that the users' time zones are known."""
    apart = abs(database_clock(store) - now)
    level: Level = "problem" if apart > CLOCKS_FAR_APART else "warning" if apart > CLOCKS_APART else "ok"
    fix = "" if level == "ok" else "Let both machines set their clocks by NTP: timedatectl status"
    yield HealthFinding("clock", level, f"This machine and the database differ by {apart.total_seconds():.1f} s.", fix)
    bad = store.users.bad_timezones()
    for key, zone in bad.items():
        text = f"{key} has the unknown time zone {zone!r}: the days of this user begin in UTC."
        yield HealthFinding("clock", "problem", text, f"echostats users timezone {key} ZONE, for example Europe/Berlin")
    if not bad:
        yield HealthFinding("clock", "ok", f"{len(timezones())} time zones are known, including those of all users.")


def worst(findings: Collection[HealthFinding]) -> Level:
    """Return the most serious level of the findings."""
    levels = Counter(finding.level for finding in findings)
    return "problem" if levels["problem"] else "warning" if levels["warning"] else "ok"


def as_json(findings: Sequence[HealthFinding]) -> dict[str, Any]:
    """Return the findings as plain values for JSON."""
    return {"level": worst(findings), "findings": [vars(finding) for finding in findings]}


def _readable(cipher: TokenCipher, value: str, user_id: str) -> bool:
    try:
        cipher.decrypt(value, user_id)
    except DecryptionError:
        return False
    return True


def _few(names: Sequence[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def human_size(size: float) -> str:
    """Return a number of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:  # noqa: PLR2004
            return f"{size:,.0f} {unit}"
        size /= 1024
    return f"{size:,.1f} GiB"


def _span(span: timedelta) -> str:
    units = ((timedelta(days=1), "d"), (timedelta(hours=1), "h"), (timedelta(minutes=1), "min"))
    return next((f"{span // unit} {name}" for unit, name in units if span >= unit), "less than 1 min")

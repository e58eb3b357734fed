"""Any order of imports, syncs, deletions, moves, backfills and changes of the catalogue ends in the same documents.

State machines of about fifteen steps each run on the real database. Documents updated as data comes in equal, byte for
byte, those built from scratch, and those that the oracle computes by brute force. `ECHOSTATS_TEST_EXAMPLES` sets the
number of machines.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from echostats_pipeline.accounts.consent import move_days
from echostats_pipeline.accounts.removal import remove_user
from echostats_pipeline.errors import RuleError
from echostats_pipeline.model.catalog import ArtistTags
from echostats_pipeline.model.collections import COLLECTIONS
from echostats_pipeline.model.library import Playlist
from echostats_pipeline.model.rules import Rule
from echostats_pipeline.model.users import User
from echostats_pipeline.spotify.mapping import album_document, album_stub, artist_document, artist_stubs, track_document
from echostats_pipeline.stages.artist_tags import TagSource, enrich_artist_tags
from echostats_pipeline.stages.credits import storing_tracks
from echostats_pipeline.stages.imports import import_export
from echostats_pipeline.stages.ingestion import merge_pages, read_recently_played
from echostats_pipeline.stages.merging import fill_tracks
from echostats_pipeline.stages.playlists import marking_renamed
from echostats_pipeline.stages.rules import RuleBook
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline.storage.database import Db, Document
from echostats_pipeline.storage.store import Store
from echostats_pipeline.transforms.days import local_date
from echostats_pipeline.transforms.genres import genre_tags
from echostats_pipeline_tests.conftest import Counted
from echostats_pipeline_tests.hypothesis_profiles import UNHURRIED, examples
from echostats_pipeline_tests.stages import source_factories, statistics_oracle
from echostats_pipeline_tests.stages.dying_rebuilds import dying_statistics
from echostats_pipeline_tests.stages.merge_steps import DiedError, dying
from echostats_pipeline_tests.stages.test_ingestion import answering

STEPS = 15

BEGINNINGS = (
    datetime(2024, 11, 2, tzinfo=UTC),  # clocks change in New York, and in St John's
    datetime(2024, 10, 5, tzinfo=UTC),  # by half an hour on Lord Howe
    datetime(2023, 12, 30, 12, tzinfo=UTC),  # a new year, a new month, a new week
    datetime(2011, 12, 29, tzinfo=UTC),  # Samoa loses a day
    datetime(2010, 11, 6, 12, tzinfo=UTC),  # in St John's a date comes twice
)
ZONES = (
    "UTC",
    "Europe/London",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/St_Johns",
)
zones = st.sampled_from(ZONES)
numbers = st.integers(0, 1)
lives = st.integers(0, 8)


@dataclass(frozen=True)
class Place:
    """Where machines run: a database, another to build from scratch, a folder; and counts of what was checked."""

    db: Db
    scratch: Store
    folder: Path
    counted: Counter[str] = field(default_factory=Counter)


class AnyOrder(RuleBasedStateMachine):
    """Two listeners with one catalogue, and every event that can happen to them."""

    place: Place

    def __init__(self) -> None:
        super().__init__()
        self.db, self.folder, self.counted = self.place.db, self.place.folder, self.place.counted
        for name in COLLECTIONS:
            self.db[name].delete_many({})
        self.store = Store.of(self.db)
        self.rows: list[list[source_factories.Row]] = [[], []]
        self.files = 0

    @initialize(
        beginning=st.sampled_from(BEGINNINGS),
        users=st.tuples(st.tuples(zones, source_factories.bursts), st.tuples(zones, source_factories.bursts)),
    )
    def two_users(self, beginning: datetime, users: tuple[tuple[str, list[source_factories.Row]], ...]) -> None:
        self.beginning, self.now = beginning, beginning + timedelta(days=4)
        for number, (zone, heard) in enumerate(users):
            self._connect(number, zone)
            self.imports(number, heard, again=0, kind="extended", lived=None)

    def _connect(self, number: int, zone: str) -> None:
        profile = {"spotify_id": f"user{number}"}
        user = self.store.users.connect(profile, authorized_at=self.now, simulated=False, timezone=zone)
        rebuild_snapshots(self.store, user, self.now)

    def user(self, number: int) -> User:
        return self.store.users.find(f"user{number}")

    def clock(self) -> datetime:
        return self.now

    @rule(
        number=numbers,
        fresh=source_factories.bursts,
        again=st.integers(0, 6),
        kind=source_factories.kinds,
        lived=st.none() | lives,
    )
    def imports(self, number: int, fresh: list[source_factories.Row], again: int, kind: str, lived: int | None) -> None:
        rows = fresh + self.rows[number][:again]
        self.rows[number] = fresh + self.rows[number]
        self.files += 1
        path = source_factories.write_export(self.folder, self.files, kind, self.beginning, rows)
        user = self.user(number)
        if lived is not None:
            with suppress(DiedError):
                self._import(dying(self.db, lived), user, path)
            self._five_minutes_later()
        self._import(self.store, user, path)

    def _five_minutes_later(self) -> None:
        """The changes of a dead process no longer count as under way."""
        self.db["change_marks"].update_many({}, [{"$set": {"open_since": {"$subtract": ["$open_since", 400_000]}}}])

    def _import(self, store: Store, user: User, path: Path) -> None:
        import_export(store, user, [path], progress=Counted(), clock=self.clock)

    @rule(number=numbers, fresh=source_factories.bursts, again=st.integers(0, 4), data=st.data())
    def syncs(self, number: int, fresh: list[source_factories.Row], again: int, data: st.DataObject) -> None:
        user, rows = self.user(number), fresh + self.rows[number][:again]
        self.rows[number] = fresh + self.rows[number]
        page = source_factories.recently_played(
            self.beginning, rows, lambda track: data.draw(source_factories.versions(track))
        )
        self.now += timedelta(seconds=1)
        read_recently_played(self.store, answering(*page), user, self.now)
        merge_pages(self.store, user, self.now)

    @rule(number=numbers, zone=zones, what=st.sampled_from(("some", "half", "all", "import", "user")), data=st.data())
    def loses(self, number: int, zone: str, what: str, data: st.DataObject) -> None:
        """Delete plays by hand, delete the plays that only one kind of export has reported, or remove the user."""
        user = self.user(number)
        plays = list(self.db["listening_history"].find({"user_id": user.user_id}).sort("played_at"))
        if what == "user":
            remove_user(self.store, user, self.now)
            self._connect(number, zone)
        elif what == "import":
            kind = data.draw(source_factories.kinds)
            self._delete(
                user, plays, [play for play in plays if source_factories.is_of(kind, play.get("import_key", ""))]
            )
        else:
            every = {"some": 5, "half": 2, "all": 1}[what]
            self._delete(user, plays, plays[data.draw(st.integers(0, every - 1)) :: every])

    def _delete(self, user: User, plays: list[Document], gone: list[Document]) -> None:
        """Delete plays as a person does in mongosh, who then has all dates rebuilt that depend on them."""
        self.db["listening_history"].delete_many({"_id": {"$in": [play["_id"] for play in gone]}})
        days = set()
        for play in gone:
            later = [other["played_at"] for other in plays if other["played_at"] > play["played_at"]]
            days |= {local_date(instant, ZoneInfo(user.timezone)) for instant in (play["played_at"], *later[:1])}
        statistics_oracle.rebuild_days(self.store, user, days)

    @rule(number=numbers, zone=zones)
    def moves(self, number: int, zone: str) -> None:
        move_days(self.store, self.user(number), zone)

    @rule(number=numbers, first=st.integers(-2, 6), length=st.integers(1, 8))
    def backfills(self, number: int, first: int, length: int) -> None:
        days = {self.beginning.date() + timedelta(days=first + day) for day in range(length)}
        statistics_oracle.rebuild_days(self.store, self.user(number), days)

    @rule(number=numbers, what=st.sampled_from(("days", "snapshots", "both")), lived=st.none() | lives)
    def rebuilds(self, number: int, what: str, lived: int | None) -> None:
        """Rebuild the days that wait, or more. The process may die; the sensors then find what is left."""
        user = self.user(number)
        store = self.store if lived is None else dying_statistics(self.db, lived)
        with suppress(DiedError):
            if what != "snapshots":
                statistics_oracle.rebuild_waiting(store, user)
            if what != "days":
                rebuild_snapshots(store, user, self.now)

    @rule(number=numbers, content=source_factories.rule_contents, lived=st.none() | lives)
    def adds_a_rule(self, number: int, content: Document, lived: int | None) -> None:
        user = self.user(number)
        with self._perhaps_dying(lived) as store, suppress(RuleError):
            RuleBook(store, user, statistics_oracle.MIN_PLAY_MS).add(
                Rule.model_validate({**content, "user_id": user.user_id})
            )

    @rule(number=numbers, which=st.integers(0, 3), lived=st.none() | lives)
    def removes_a_rule(self, number: int, which: int, lived: int | None) -> None:
        with self._perhaps_dying(lived) as store:
            book = RuleBook(store, self.user(number), statistics_oracle.MIN_PLAY_MS)
            for stored in book.rules[which : which + 1]:
                book.remove(stored)

    @contextmanager
    def _perhaps_dying(self, lived: int | None) -> Iterator[Store]:
        """A store whose process may die; then five minutes pass."""
        with suppress(DiedError):
            yield self.store if lived is None else dying_statistics(self.db, lived)
        if lived is not None:
            self._five_minutes_later()

    @rule(learned=source_factories.learned)
    def learns(self, learned: source_factories.Learned) -> None:
        """Store new data in the catalogue, as the functions of `stages.catalog` store responses."""
        catalog, kind, reported = self.store.catalog, learned.kind, learned.reported
        if kind == "track":
            track = track_document(reported, self.now)
            with storing_tracks(self.store) as stored:
                stored.put([track], at=self.now)
            catalog.add_stubs("artists", artist_stubs(reported, self.now))
            catalog.add_stubs("albums", [stub for stub in [album_stub(reported, self.now)] if stub])
            fill_tracks(self.store, [track])
        elif kind == "artist":
            artist = artist_document(reported, self.now)
            catalog.put("artists", [artist], missing=(), at=self.now)
            catalog.pass_genres_to_tracks([artist])
        elif kind == "album":
            catalog.put("albums", [album_document(reported, self.now)], missing=(), at=self.now)
        elif kind == "tags":
            self._hears_of_genres(**reported)
            return  # it marks the snapshots of those who heard these artists
        else:
            catalog.put_audio_features(reported, self.now)
        self.store.mark_all_snapshots()

    @rule(number=numbers, name=st.sampled_from(("Mine", "Renamed", None)))
    def lists(self, number: int, name: str | None) -> None:
        """Add, rename or remove the playlist that some plays come from, as the sync of the library does."""
        user_id, library = self.user(number).user_id, self.store.library
        contents = self.store.marks.changing(user_id, source="playlist_contents")
        with contents, marking_renamed(self.store, user_id):
            if name is None:
                library.remove_playlist(user_id, "mine")
            else:
                library.put_playlists([Playlist(user_id=user_id, spotify_id="mine", name=name)])

    def _hears_of_genres(self, answers: dict[str, list[str]], order: tuple[str, ...]) -> None:
        """Let another source answer late, in the order that the settings have by then."""

        def read(artists: Mapping[str, str]) -> Iterator[tuple[str, ArtistTags | None]]:
            for spotify_id in artists:
                votes = [(tag, 10.0) for tag in answers.get(spotify_id, ())]
                tags = genre_tags(votes, ("rock", "hip hop"))
                yield spotify_id, ArtistTags(spotify_id=spotify_id, source="musicbrainz", tags=tags)

        before = {each["spotify_id"]: each["genres"] for each in self.db["artists"].find() if each["genres"]}
        enrich_artist_tags(self.store, {"musicbrainz": TagSource(read)}, order, self.now, Counted())
        after = {each["spotify_id"] for each in self.db["artists"].find() if each["genres"]}
        assert before.keys() <= after, "genres that were known are never replaced by none"

    @rule(hours=st.sampled_from((5, 11, 26, 24 * 6, 24 * 29, 24 * 200, 24 * 366)))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @rule(looked_at=st.sampled_from((False, False, True)))
    def the_sensors_catch_up(self, looked_at: bool) -> None:
        statistics_oracle.catch_up(self.store, self.now)
        if looked_at:
            self.everything_is_true()

    def everything_is_true(self) -> None:
        self.counted["documents"] += statistics_oracle.check_truth(self.store, self.place.scratch, self.now)

    @invariant()
    def nothing_is_anybody_elses(self) -> None:
        ids = {user.user_id for user in self.store.users.all()}
        for name in statistics_oracle.KEYS:
            assert set(self.db[name].distinct("user_id")) <= ids

    def teardown(self) -> None:
        if hasattr(self, "now"):
            self.everything_is_true()
            self.counted["machines"] += 1
            self.counted["plays"] += self.db["listening_history"].count_documents({})


@pytest.mark.scale
@pytest.mark.timeout(UNHURRIED)
def test_any_order_of_anything_ends_in_the_same_documents(
    store: Store, scratch: Store, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    assert statistics_oracle.has_all_that_is_derived()
    place = Place(store.db, scratch, tmp_path)
    run_state_machine_as_test(
        type("AnyOrder", (AnyOrder,), {"place": place}),
        settings=settings(
            max_examples=examples(10),
            stateful_step_count=STEPS,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for name, count in place.counted.items():
        record_property(name, count)
    sys.stdout.write(f"any order: {dict(place.counted)}\n")
    assert place.counted["documents"] > 0

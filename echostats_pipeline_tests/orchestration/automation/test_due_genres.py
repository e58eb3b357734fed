"""When the catalogue's sensor reads all artists to find out whether a source of genres is to be asked."""

from datetime import timedelta

import pytest

from echostats_pipeline.model.catalog import Artist, ArtistTags
from echostats_pipeline.orchestration.automation.due_genres import DueGenres, due_genres
from echostats_pipeline.storage.artist_tags import ArtistTagStore
from echostats_pipeline.storage.store import Store
from echostats_pipeline_tests.conftest import NOW


def test_all_artists_are_read_only_if_one_may_be_due(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    tags, reads = store.artist_tags, []
    monkeypatch.setattr(tags, "next_due", lambda *asked: reads.append(1) or ArtistTagStore.next_due(tags, *asked))

    def due(cursor: str, days: int = 0, sources: tuple[str, ...] = ("musicbrainz",)) -> DueGenres:
        return due_genres(tags, sources, ("spotify", "musicbrainz"), NOW + timedelta(days=days), cursor)

    store.catalog.put("artists", [Artist(spotify_id="a", name="A")], missing=(), at=NOW)
    assert (due("").now, due("", sources=()).now, len(reads)) == (True, False, 1)
    tags.put([ArtistTags(spotify_id="a", source="musicbrainz", read_at=NOW)])
    cursor = due("").cursor
    assert (due(cursor), due(cursor, 30).now, len(reads)) == ((False, cursor), False, 2)
    assert (due(cursor, 31).now, len(reads)) == (True, 3)
    store.catalog.add_stubs("artists", [Artist(spotify_id="b", name="B")])
    assert (due(cursor).now, len(reads)) == (True, 4)

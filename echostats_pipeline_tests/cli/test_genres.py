"""``echostats genres``: coverage by source, top genres, and how far reading is."""

import json

import pytest

from echostats_pipeline.stages.genre_coverage import genre_coverage
from echostats_pipeline.stages.statistics import rebuild_snapshots
from echostats_pipeline_tests.cli.conftest import Echostats, refused
from echostats_pipeline_tests.conftest import Installation
from echostats_pipeline_tests.stages.test_artist_tags import BOTH, enrich, user_without_genres


def test_a_user_sees_whose_genres_are_known_and_the_top_ones(installation: Installation, echostats: Echostats) -> None:
    user = user_without_genres(installation)
    enrich(installation, *BOTH)
    rebuild_snapshots(installation.store, user, installation.now())
    sources = {"ECHOSTATS_GENRES": "spotify,musicbrainz"}
    shown = json.loads(echostats("genres", "--user", user.partition_key, "--json", **sources).stdout)
    coverage = genre_coverage(installation.store, user, 30_000)
    counted = {each["source"] or "": (each["artists"], each["plays"]) for each in shown["sources"]}
    assert {source: numbers for source, numbers in counted.items() if any(numbers)} == {
        source: (coverage.artists.get(source, 0), coverage.plays[source]) for source in coverage.plays
    }
    assert shown["plays_covered"] == pytest.approx(coverage.plays_covered, abs=1e-4)
    assert "artists asked about" in shown["progress"], "sources may know none of those they were asked about"
    text = echostats("genres", "--user", user.partition_key, **sources).stdout
    assert "MusicBrainz" in text
    assert "CC BY-NC-SA 3.0" in text
    none = echostats("genres", "--user", user.partition_key, ECHOSTATS_GENRES="none").stdout
    assert "No source is asked for genres: ECHOSTATS_GENRES is none." in none
    assert refused(echostats("genres", "--user", "nobody")).startswith("Error: There is no user")

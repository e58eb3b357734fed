import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.statistics import TopItem
from echostats_pipeline.transforms.ranking import TOP_LENGTH, top_items

SCHEMA = {"spotify_id": pl.String, "name": pl.String, "image_url": pl.String, "plays": pl.Int64, "ms": pl.Int64}

Line = tuple[str, str, int, int]
lines = st.lists(
    st.tuples(
        st.text("abcdef0123456789", min_size=3, max_size=3),
        st.sampled_from(("", "$a", "A.b", "a", "z", "Ä", "\U0001f600")),
        st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=120,
    unique_by=lambda line: line[0],
)


def ranked(items: list[Line]) -> list[dict[str, object]]:
    rows = [(spotify_id, name, f"https://i/{spotify_id}", plays, ms) for spotify_id, name, plays, ms in items]
    return top_items(pl.DataFrame(rows, schema=SCHEMA, orient="row"))


@given(items=lines)
def test_a_ranking_is_by_plays_then_time_then_name_and_ends_at_fifty(items: list[Line]) -> None:
    order = sorted((line for line in items if line[2] > 0), key=lambda line: (-line[2], -line[3], line[1], line[0]))
    assert ranked(items) == [
        {
            "spotify_id": spotify_id,
            "name": name,
            "play_count": plays,
            "total_ms": ms,
            "image_url": f"https://i/{spotify_id}",
            "rank": rank,
        }
        for rank, (spotify_id, name, plays, ms) in enumerate(order[:50], start=1)
    ]


@given(items=lines)
def test_the_order_of_rows_does_not_matter(items: list[Line]) -> None:
    assert ranked(items[::-1]) == ranked(items)


def test_fifty_of_many_are_kept() -> None:
    found = ranked([(f"{number:03}", "name", 1, 0) for number in range(60)])
    assert [line["rank"] for line in found] == list(range(1, TOP_LENGTH + 1))
    assert [TopItem.model_validate(line).spotify_id for line in found] == [f"{number:03}" for number in range(50)]

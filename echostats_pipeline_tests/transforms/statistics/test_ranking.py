import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.model.statistics import TopItem
from echostats_pipeline.transforms.statistics.ranking import TOP_LENGTH, top_items

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


def ranked(items: list[Line]) -> list[list[dict[str, object]]]:
    """The rankings of a span, by plays and by time, next to another span that has the same plays later."""
    numbers = {"span": pl.Int64, "item": pl.String, "plays": pl.Int64, "ms": pl.Int64}
    texts = dict.fromkeys(("item", "spotify_id", "name", "image_url"), pl.String)
    of_spans = [(span, spotify_id, plays, ms) for span in (1, 0) for spotify_id, _, plays, ms in items]
    names = [(spotify_id, spotify_id, name, f"https://i/{spotify_id}") for spotify_id, name, _, _ in items]
    shown = pl.DataFrame(names, schema=texts, orient="row")
    found = top_items(
        pl.DataFrame(of_spans, schema=numbers, orient="row"),
        lambda some: shown.filter(pl.col("item").is_in(some.implode())),
    )
    assert all(rows.get(0, []) == rows.get(1, []) for rows in found)
    return [rows.get(0, []) for rows in found]


@pytest.mark.parametrize(("number", "first", "second"), [(0, 2, 3), (1, 3, 2)])
@given(items=lines)
def test_a_ranking_is_by_plays_then_time_or_the_reverse_then_name_and_ends_at_fifty(
    number: int, first: int, second: int, items: list[Line]
) -> None:
    counted = (line for line in items if line[2] > 0)
    order = sorted(counted, key=lambda line: (-line[first], -line[second], line[1], line[0]))
    assert ranked(items)[number] == [
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
    found, _ = ranked([(f"{number:03}", "name", 1, 0) for number in range(60)])
    assert [line["rank"] for line in found] == list(range(1, TOP_LENGTH + 1))
    assert [TopItem.model_validate(line).spotify_id for line in found] == [f"{number:03}" for number in range(50)]

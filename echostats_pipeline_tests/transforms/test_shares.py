"""A budget of calls, shared by several users who want more than it holds."""

from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.transforms.shares import UNKNOWN_NEED, Wish, days_needed, share_of

calls = st.integers(0, 30)
wishes = st.dictionaries(st.sampled_from("abcdef"), st.builds(Wish, calls, calls, calls), min_size=1)


@given(wishes, st.integers(0, 100))
def test_nothing_is_left_that_somebody_wants_and_nothing_is_given_twice(wishes: dict[str, Wish], free: int) -> None:
    shares = {key: share_of(key, wishes, free) for key in wishes}
    assert sum(shares.values()) == min(free, sum(wish.need for wish in wishes.values()))
    assert all(shares[key] <= wish.need for key, wish in wishes.items())


@given(wishes, st.integers(0, 100))
def test_nobody_who_wants_more_has_had_less(wishes: dict[str, Wish], free: int) -> None:
    had = {key: wish.lately + share_of(key, wishes, free) for key, wish in wishes.items()}
    wanting = [key for key, wish in wishes.items() if share_of(key, wishes, free) < wish.need]
    given_some = [key for key, wish in wishes.items() if share_of(key, wishes, free)]
    assert all(had[other] <= had[key] + 1 for key in wanting for other in given_some)


def test_one_of_many_with_a_huge_library_leaves_the_others_theirs() -> None:
    wishes = {"huge": Wish(UNKNOWN_NEED), "small": Wish(3), "other": Wish(UNKNOWN_NEED)}
    assert [share_of(key, wishes, 500) for key in wishes] == [249, 3, 248]


def test_fewer_calls_than_users_go_round_over_days() -> None:
    ever = dict.fromkeys("abc", 0)
    for _ in range(6):  # days of two calls, of which no user has had any yet
        wishes = {key: Wish(UNKNOWN_NEED, ever=count) for key, count in ever.items()}
        ever = {key: ever[key] + share_of(key, wishes, 2) for key in ever}
    assert ever == dict.fromkeys("abc", 4)


def test_days_are_those_until_the_own_need_is_met() -> None:
    wishes = {"huge": Wish(1200), "small": Wish(12)}
    assert (days_needed("huge", wishes, 500), days_needed("small", wishes, 500)) == (3, 1)

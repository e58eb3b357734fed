"""Behaviours: their text and JSON forms, and invalid ones."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from echostats_pipeline.simulator.behaviour import (
    FAMILIES,
    FAULTS,
    REGIMES,
    ROTATIONS,
    Behaviour,
    BehaviourError,
    Fault,
    describe_faults,
    parse_faults,
)

SHARES = st.floats(0, 1)
LIMITS = st.none() | st.integers(0, 10_000)


@st.composite
def faults(draw: st.DrawFn) -> dict[str, Fault]:
    names = draw(st.sets(st.sampled_from(list(FAULTS)), max_size=4))
    return {
        name: Fault(
            rate=draw(SHARES),
            calls=tuple(draw(st.lists(st.integers(1, 99), max_size=3))),
            variants=tuple(draw(st.lists(st.sampled_from(FAULTS[name].variants), max_size=2))),
            families=tuple(draw(st.lists(st.sampled_from(FAMILIES), max_size=2))),
        )
        for name in names
    }


BEHAVIOURS = st.builds(
    Behaviour,
    regime=st.sampled_from(REGIMES),
    quota=LIMITS | st.dictionaries(st.sampled_from(FAMILIES), st.integers(0, 999), max_size=2),
    rate_limit=LIMITS,
    rotation=st.sampled_from(ROTATIONS),
    faults=faults(),
    allowed_users=st.none() | st.frozensets(st.text(min_size=1), max_size=5),
    premium_owner=st.booleans(),
    row_keys=st.sampled_from(["regime", "both", "track"]),
    slow_seconds=st.floats(0, 10),
    late_seconds=st.floats(0, 1e6),
    reccobeats_limit=LIMITS,
    reccobeats_share=SHARES,
)


@given(BEHAVIOURS, BEHAVIOURS)
def test_every_behaviour_survives_its_json_form_whatever_was_in_force(before: Behaviour, wanted: Behaviour) -> None:
    assert before.changed(json.loads(json.dumps(wanted.as_json()))) == wanted


@given(BEHAVIOURS)
def test_no_change_is_no_change(behaviour: Behaviour) -> None:
    assert behaviour.changed({}) == behaviour
    assert Behaviour().changed(Behaviour().as_json()) == Behaviour()
    assert behaviour.changed({"premium_owner": False}).premium_owner is False
    assert behaviour.changed({"premium_owner": False}).faults == behaviour.faults


@given(st.sampled_from(list(FAULTS)), SHARES, st.lists(st.integers(1, 99), min_size=1))
def test_faults_are_read_from_text(name: str, rate: float, calls: list[int]) -> None:
    assert parse_faults(f"{name}={rate}") == {name: Fault(rate=rate)}
    numbered = f"{name}@{'+'.join(map(str, calls))}"
    assert parse_faults(numbered) == {name: Fault(calls=tuple(calls))}
    variant = FAULTS[name].variants[-1]
    assert parse_faults(f" {numbered}:{variant} ,")[name].variants == (variant,)


def test_json_takes_rates_numbers_objects_and_text() -> None:
    reported = {
        "slow": 0.5,
        "rate-limit": [2, 3],
        "server-error": {"rate": 1, "variants": ["502-html"], "families": ["me"]},
    }
    assert Behaviour().changed({"faults": reported}).faults == {
        "slow": Fault(rate=0.5),
        "rate-limit": Fault(calls=(2, 3)),
        "server-error": Fault(rate=1, variants=("502-html",), families=("me",)),
    }
    assert Behaviour().changed({"faults": "slow=0.5"}).faults == {"slow": Fault(rate=0.5)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sever-error=0.1", "no fault 'sever-error'; there are disconnect, .*server-error"),
        ("slow=often", "'slow=often' is not NAME=RATE or NAME@CALL"),
        ("slow", "'slow' is not NAME=RATE"),
        ("slow=2", "from 0 to 1, not 2.0"),
        ("slow@0", "numbered from 1"),
        ("slow@1+x", "'slow@1.x' is not"),
    ],
)
def test_text_that_is_no_fault_says_what_there_is(text: str, message: str) -> None:
    with pytest.raises(BehaviourError, match=message):
        parse_faults(text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([], "JSON object"),
        ({"regimen": "extended"}, "regimen"),
        ({"regime": "free"}, "regime: .*restricted_dev"),
        ({"faults": {"sever-error": 0.1}}, "no fault 'sever-error'; there are disconnect"),
        ({"faults": {"slow": "often"}}, "faults.slow"),
        ({"faults": 1}, "faults"),
        ({"faults": {"rate-limit": {"variants": ["99"]}}}, "rate-limit has the variants seconds"),
        ({"faults": {"slow": {"families": ["nobody"]}}}, "faults.slow.families"),
        ({"faults": {"slow": {"rat": 1}}}, "faults.slow.rat"),
        ({"quota": -1}, "not negative"),
        ({"quota": {"tracks": -1}}, "not negative"),
        ({"reccobeats_share": 2}, "reccobeats_share"),
        ({"regime": "restricted_dev", "allowed_users": list("abcdef")}, "holds 5 users"),
    ],
)
def test_a_behaviour_that_cannot_be_says_why(changes: object, message: str) -> None:
    with pytest.raises(BehaviourError, match=message):
        Behaviour().changed(changes)


def test_a_quota_is_that_of_the_regime_unless_given() -> None:
    assert Behaviour().quota_of("me") is None
    assert Behaviour(quota=0, regime="legacy_dev").quota_of("me") is None
    assert Behaviour(regime="restricted_dev").quota_of("me") == 600
    own = Behaviour(regime="restricted_dev", quota={"me": 3})
    assert (own.quota_of("me"), own.quota_of("tracks")) == (3, 600)


def test_the_description_names_every_fault_and_variant() -> None:
    lines = describe_faults().splitlines()
    assert [line.partition(":")[0] for line in lines] == list(FAULTS)
    assert all(
        re.search(re.escape(FAULTS[name].variants[-1]), line)
        for name, line in zip(FAULTS, lines, strict=True)
        if len(FAULTS[name].variants) > 1
    )

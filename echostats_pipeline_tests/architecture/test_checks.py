"""The declarations that every asset check must have, and the checks that lack one."""

import dagster as dg
import pytest

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.orchestration.checks import CHECKS

SPECS = [spec for definition in CHECKS for spec in definition.check_specs]
by_spec = pytest.mark.parametrize("spec", SPECS, ids=[spec.name for spec in SPECS])


def test_nothing_was_overlooked() -> None:
    assert len(SPECS) >= 13
    defined = {spec.key for definition in build_definitions().asset_checks or () for spec in definition.check_specs}
    assert defined == {spec.key for spec in SPECS}


@by_spec
def test_a_check_is_described_in_sentences_a_user_understands(spec: dg.AssetCheckSpec) -> None:
    description = spec.description or ""
    first = description.split("\n")[0]
    assert len(first) > 30
    assert first.endswith(".")
    assert "Args:" not in description


@by_spec
def test_a_check_has_a_name_of_its_own_that_says_what_is_well(spec: dg.AssetCheckSpec) -> None:
    assert [other.name for other in SPECS].count(spec.name) == 1
    assert {"is", "are", "match", "answers", "last", "beats"} & set(spec.name.split("_"))

"""What a rule would change, against rollups built with it and without."""

from datetime import date

from hypothesis import given

from echostats_pipeline.model.rules import Rule
from echostats_pipeline.transforms.statistics.rule_effects import (
    days_of_plays,
    judged,
    judged_again,
    totals_by_day,
    touched_days,
    touched_plays,
)
from echostats_pipeline_tests.transforms.listening_factories import (
    daily_rollups,
    plays_frame,
    quick,
    rollup_frames,
    zoned_histories,
)
from echostats_pipeline_tests.transforms.oracle import OraclePlay
from echostats_pipeline_tests.transforms.rule_factories import rules


@quick
@given(history=zoned_histories(), found=rules)
def test_no_rollup_changes_on_a_day_that_a_rule_does_not_touch(
    history: tuple[str, list[OraclePlay]], found: list[Rule]
) -> None:
    zone, plays = history
    with_all = {each["date"]: each for each in daily_rollups(plays, zone, rules=found)}
    for rule in found:
        if rule.kind in ("exclude", "same_artist"):
            others = [other for other in found if other is not rule]
            judged_plays = judged(plays_frame(plays), zone, 30_000, found)
            without = daily_rollups(plays, zone, rules=others)
            changed = {each["date"] for each in without if each != with_all[each["date"]]}
            touched = {str(day) for day in touched_days(judged_plays, judged_again(judged_plays, others))}
            assert changed <= touched <= with_all.keys()
            holding = {
                day
                for day, each in with_all.items()
                for left in each.get("excluded_by", ())
                if left["rule_id"] == rule.rule_id
            }
            assert {str(day) for day in days_of_plays(judged_plays, rule)} == holding <= touched
            left_out = [each for rollup in with_all.values() for each in rollup.get("excluded_by", ())]
            assert touched_plays(judged_plays, rule) == sum(
                each["plays"] for each in left_out if each["rule_id"] == rule.rule_id
            )


@quick
@given(history=zoned_histories(), found=rules)
def test_totals_by_day_are_those_of_the_rollups(history: tuple[str, list[OraclePlay]], found: list[Rule]) -> None:
    zone, plays = history
    quickly = totals_by_day(judged(plays_frame(plays), zone, 30_000, found))
    rollups = rollup_frames(daily_rollups(plays, zone, rules=found))
    columns = ("date", "plays", "ms", "excluded_plays")
    assert quickly.days.select(columns).rows() == rollups.days.select(columns).rows()

    def by_track(frames: object) -> set[tuple[date, str, str, str, str, int, int]]:
        named = frames.tracks.hstack(frames.track_ids[frames.tracks["track"]])  # type: ignore[attr-defined]
        return set(named.select("date", "track_id", "name", "artist_name", "album_name", "plays", "ms").iter_rows())

    assert by_track(quickly) == by_track(rollups)
    assert sorted(quickly.exclusions.rows()) == sorted(rollups.exclusions.rows())

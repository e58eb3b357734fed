"""Tables of settings, assets, checks, jobs, sensors and schedules, as Markdown."""

import inspect
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from echostats_pipeline.definitions import build_definitions
from echostats_pipeline.orchestration.automation.alerts import ALERT_SENSORS
from echostats_pipeline.orchestration.automation.schedules import SCHEDULES
from echostats_pipeline.orchestration.automation.sensors import SENSORS, fan_out_sensor, sync_sensor
from echostats_pipeline.orchestration.checks import CHECKS
from echostats_pipeline.orchestration.jobs import JOBS
from echostats_pipeline.orchestration.partitions import USERS, is_by_day
from echostats_pipeline.settings import LARGEST, Settings

NOTHING = "none"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown; what would end a cell is escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def settings() -> str:
    """Every setting with its default, its bounds and its meaning."""
    rows = [
        (f"`{field.validation_alias}`", default_of(field), bounds_of(field), field.description or "")
        for field in Settings.model_fields.values()
    ]
    return table(("variable", "default", "bounds", "meaning"), rows)


def default_of(field: FieldInfo) -> str:
    """What a setting is where it is not set."""
    extra = field.json_schema_extra
    shown = extra.get("shown") if isinstance(extra, dict) else ""
    if shown:
        return str(shown)
    value = field.default
    if value is None or value == ():
        return NOTHING
    if isinstance(value, bool):
        return f"`{int(value)}`"
    return f"`{','.join(value) if isinstance(value, tuple) else value}`"


def bounds_of(field: FieldInfo) -> str:
    """The values a setting may have, where it is a number or one of a few words."""
    lowest = next((bound.ge for bound in field.metadata if hasattr(bound, "ge")), None)
    highest = next((bound.le for bound in field.metadata if hasattr(bound, "le")), None)
    if lowest is not None:
        return f"{lowest} or more" if highest in (None, LARGEST) else f"{lowest} to {highest}"
    choices = getattr(field.annotation, "__args__", ())
    return ", ".join(f"`{choice}`" for choice in choices) if all(isinstance(each, str) for each in choices) else ""


def assets() -> str:
    """Every asset with its group, its partitions and what it holds."""
    rows = [
        (f"`{spec.key.to_user_string()}`", spec.group_name or "", _partitions(spec), _first_line(spec.description))
        for spec in _made()
    ]
    return table(("asset", "group", "partitions", "what it holds"), rows)


def checks() -> str:
    """Every check with its asset, whether it blocks, what it says, and the jobs it guards; the audit runs all."""
    guards: dict[dg.AssetCheckKey, list[str]] = {}
    for job in JOBS:
        for key in _checks_of(job) if job.name != "audit" else ():
            guards.setdefault(key, []).append(f"`{job.name}`")
    rows = [
        (
            f"`{spec.name}`",
            spec.asset_key.to_user_string(),
            "yes" if spec.blocking else "no",
            _first_line(spec.description),
            ", ".join(guards.get(spec.key, [])) or NOTHING,
        )
        for definition in CHECKS
        for spec in definition.check_specs
    ]
    return table(("check", "on", "blocks", "what it says", "guards"), rows)


def jobs() -> str:
    """Every job with its assets and what starts it."""
    starters: dict[str, list[str]] = {}
    for sensor in _sensors():
        for target in sensor.targets:
            starters.setdefault(target.job_name, []).append(f"`{sensor.name}`")
    for schedule in SCHEDULES:
        starters.setdefault(schedule.job_name, []).append(f"`{schedule.name}`")
    rows = [
        (f"`{job.name}`", _assets_of(job.name), job.description or "", ", ".join(starters.get(job.name, [])) or "you")
        for job in JOBS
    ]
    return table(("job", "assets", "what it does", "started by"), rows)


def sensors() -> str:
    """Every sensor with its interval and what it does."""
    return table(
        ("sensor", "every", "what it does"),
        [
            (f"`{sensor.name}`", _interval(sensor.minimum_interval_seconds or 30), sensor.description or "")
            for sensor in _sensors()
        ],
    )


def schedules() -> str:
    """Every schedule with its time and what it does."""
    rows = [(f"`{each.name}`", f"`{each.cron_schedule}`", each.description or "") for each in SCHEDULES]
    return table(("schedule", "cron, UTC", "what it does"), rows)


def _sensors() -> list[dg.SensorDefinition]:
    """All sensors; those that sync with a user and a batch size as examples."""
    default = Settings(home=Path())
    interval, batch_size = default.sync_interval_minutes, default.sync_batch_size
    syncs = [sync_sensor("USER", interval), fan_out_sensor(interval, batch_size)]
    return [*syncs, *SENSORS, *ALERT_SENSORS]


def _made() -> list[dg.AssetSpec]:
    """The assets that are made here, group by group; not those outside that they read."""
    definitions = [asset for asset in build_definitions().assets or () if isinstance(asset, dg.AssetsDefinition)]
    specs = [spec for definition in definitions for spec in definition.specs]
    groups = [spec.group_name for spec in specs]
    return sorted(specs, key=lambda spec: groups.index(spec.group_name))


@cache
def _repository() -> dg.RepositoryDefinition:
    return build_definitions().get_repository_def()


def _assets_of(job_name: str) -> str:
    names = {key.to_user_string() for key in _repository().get_job(job_name).asset_layer.selected_asset_keys}
    order = [spec.key.to_user_string() for spec in _made()]
    return ", ".join(f"`{name}`" for name in sorted(names, key=order.index)) or NOTHING


def _checks_of(job: Any) -> Iterable[dg.AssetCheckKey]:
    selection = getattr(job, "selection", None)
    return selection.resolve_checks(_repository().asset_graph) if selection is not None else ()


def _partitions(spec: dg.AssetSpec) -> str:
    if is_by_day(spec.partitions_def):
        return "day and user"
    return "user" if spec.partitions_def == USERS else "none"


def _interval(seconds: int) -> str:
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"


def _first_line(text: str | None) -> str:
    return inspect.cleandoc(text or "").split("\n\n", 1)[0].replace("\n", " ")


def _cell(value: str) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    return text.replace("|", "\\|").replace("\n", " ")

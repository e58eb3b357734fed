"""Reads rules from the files of an export (`accounts.data_export`), to add them for another user or elsewhere."""

import json
from pathlib import Path

from pydantic import ValidationError

from echostats_pipeline.accounts.data_export import MANIFEST
from echostats_pipeline.errors import RuleError
from echostats_pipeline.model.rules import Rule, reason_of

FILE = "rules.jsonl"


def read_rules(path: Path, user_id: str) -> list[Rule]:
    """Read rules, as new ones of a user.

    Args:
        path: The folder of an export, or its file of rules.
        user_id: The user who gets them.

    Raises:
        RuleError: there is no such file, or a line is not a rule; nothing is read then.
    """
    file = path / FILE if path.is_dir() else path
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RuleError(
            f"{file} cannot be read: {getattr(error, 'strerror', None) or error}. Give the folder that `echostats "
            f"export` wrote, or its {FILE}, which an export has if the user had rules."
        ) from error
    return [
        _rule(line, f"Line {number} of {file.name}", user_id) for number, line in enumerate(lines, 1) if line.strip()
    ]


def exported_of(path: Path) -> str:
    """The Spotify id of the user of whom an export is, by its manifest; empty if there is none.

    Args:
        path: The folder of an export, or its file of rules.
    """
    folder = path if path.is_dir() else path.parent
    try:
        return str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["user"]["spotify_id"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _rule(line: str, where: str, user_id: str) -> Rule:
    try:
        document = json.loads(line)
        content = {name: value for name, value in document.items() if name != "_id"}
        return Rule.model_validate({**content, "user_id": user_id})
    except (ValueError, AttributeError) as error:
        reason = reason_of(error) if isinstance(error, ValidationError) else "it is not a JSON object"
        raise RuleError(f"{where} is not a rule: {reason}. Nothing was imported.") from error

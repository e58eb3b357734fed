"""What the files in `deploy` say of a deployment: its processes, their variables, and what its image holds."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from echostats_pipeline_tests.docs.pages import CHECKOUT

DEPLOY = CHECKOUT / "deploy"
IMAGE_FOLDER = "/opt/dagster"
"""Where the image holds the files of the instance."""
_VARIABLE = re.compile(r"\$\{(\w+)(?::[?-]([^}]*))?\}")


class Compose:
    """The services of `compose.cluster.yaml`, with the variables of its `.env` filled in."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self._services = yaml.safe_load((DEPLOY / "compose.cluster.yaml").read_text(encoding="utf-8"))["services"]
        self._variables = variables

    def command(self, service: str) -> list[str]:
        """The program of a service and its arguments."""
        return [self._filled(part) for part in self._services[service]["command"]]

    def environment(self, service: str) -> dict[str, str]:
        """The variables of a service."""
        return {name: self._filled(value) for name, value in self._services[service].get("environment", {}).items()}

    def _filled(self, text: Any) -> str:
        return _VARIABLE.sub(lambda found: self._variables.get(found[1]) or found[2] or "", str(text))


def copy_image_files(folder: Path, addresses: Mapping[str, str]) -> None:
    """Lay out a folder as the Dockerfile lays out `IMAGE_FOLDER`, with addresses in place of the names of services."""
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for sources, target in re.findall(rf"^COPY (deploy/.*) {IMAGE_FOLDER}(\S*)$", dockerfile, re.MULTILINE):
        place = folder / target.strip("/")
        for source in sources.split():
            is_file = not target.endswith("/")
            copy = place if is_file else place / Path(source).name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CHECKOUT / source, copy)
    workspace = folder / "workspace.yaml"
    named = re.sub(r"host: (\w+)", lambda found: f"host: {addresses[found[1]]}", workspace.read_text(encoding="utf-8"))
    workspace.write_text(named, encoding="utf-8")


def raise_limits(instance: Path, runs: int) -> None:
    """Let an instance execute so many runs at once, and let all of them call Spotify."""
    content = instance.read_text(encoding="utf-8")
    for limit in ("max_concurrent_runs", "default_limit"):
        content = re.sub(rf"{limit}: \d+", f"{limit}: {runs}", content)
    instance.write_text(content, encoding="utf-8")

"""What a processor lacks is said before a server is started, and in place of "illegal instruction"."""

import os
import platform
import sys
from pathlib import Path

import pytest

from echostats_pipeline.cli import doctor
from echostats_pipeline.errors import EmbeddedServerError
from echostats_pipeline.local import mongod, mongod_binary, processor
from echostats_pipeline.local.mongod import PROCESSOR_FIX
from echostats_pipeline.settings import load_settings
from echostats_pipeline.state_folder import StateFolder

HASWELL = (
    "processor\t: 0\nflags\t\t: fpu sse4_2 avx f16c avx2\nbugs\t\t: x\n\nprocessor\t: 1\nflags\t\t: fpu sse4_2 avx\n"
)
CELERON = "processor\t: 0\nflags\t\t: fpu sse4_2 ssse3 no_avx_here\nmodel name\t: Celeron N4020\n"
GRAVITON = "processor\t: 0\nFeatures\t: fp asimd evtstrm aes crc32 atomics fphp asimdhp dcpop\nCPU part\t: 0xd0c\n"
PI = "processor\t: 0\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU part\t: 0xd08\n"
NO_AVX = "The processor of this machine lacks AVX, which MongoDB 5 and newer need."


@pytest.mark.parametrize(
    ("machine", "cpuinfo", "missing"),
    [
        ("x86_64", HASWELL, ""),
        ("x86_64", CELERON, "AVX"),
        ("aarch64", GRAVITON, ""),
        ("aarch64", "Features\t: fp asimd crc32 atomics asimdrdm\n", "the instructions of ARMv8.2"),
        ("aarch64", PI, "the instructions of ARMv8.2"),
        ("aarch64", GRAVITON + "\n" + PI, "the instructions of ARMv8.2"),
        ("x86_64", "", ""),
        ("riscv64", "isa : rv64imac", ""),
    ],
)
def test_what_is_missing_is_named(machine: str, cpuinfo: str, missing: str) -> None:
    assert processor.lacking(machine, cpuinfo) == missing


@pytest.fixture
def celeron(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text(CELERON)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")


@pytest.mark.usefixtures("celeron")
def test_doctor_says_so_beforehand(tmp_path: Path) -> None:
    own = load_settings({"ECHOSTATS_HOME": str(tmp_path / "home")}, env_file=None)
    (found,) = doctor._processor(own)
    assert (found.level, found.text, found.fix) == ("problem", NO_AVX, PROCESSOR_FIX)
    (tmp_path / "home" / "mongo" / "data").mkdir(parents=True)
    (found,) = doctor._processor(own)
    assert found.level == "warning"
    elsewhere = load_settings({"MONGO_URI": "mongodb://db/", "ENCRYPTION_KEY": "ab" * 32}, env_file=None)
    assert list(doctor._processor(elsewhere)) == []


@pytest.mark.skipif(os.name != "posix", reason="the stand-in is a shell script")
@pytest.mark.usefixtures("celeron")
@pytest.mark.parametrize("version_works", [False, True])
def test_starting_says_so_in_place_of_illegal_instruction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version_works: bool
) -> None:
    binary = tmp_path / "bin" / "mongod"
    binary.parent.mkdir()
    answer = "[ \"$1\" = --version ] && echo 'db version v6.0.5' && exit 0\n" if version_works else ""
    binary.write_text(f"#!/bin/sh\n{answer}kill -ILL $$\n")
    binary.chmod(0o755)
    monkeypatch.setattr(mongod_binary, "_from_wheel", lambda: binary)
    monkeypatch.setattr(mongod_binary, "_from_path", lambda: None)
    with pytest.raises(EmbeddedServerError) as error:
        mongod.ensure_running(StateFolder(tmp_path / "home"))
    assert NO_AVX in str(error.value)
    assert "MONGO_URI" in str(error.value)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_processor_of_a_machine_with_a_running_server_lacks_nothing() -> None:
    try:
        mongod_binary.find_mongod()
    except EmbeddedServerError as error:
        pytest.skip(str(error))
    assert processor.unfit_processor() == ""

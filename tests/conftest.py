"""What every test may ask for: a real PostgreSQL, settings on a folder of its own, the shared corpus."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
import structlog
from free_ports import free_ports
from fresh_databases import dropped, folder_in_memory, migrated, without_durability
from running_hub import a_server
from share import Case, Share
from third_parties import a_vault, listening, reached

from imaging_hub.database import Database
from imaging_hub.keys.keyring import create_missing
from imaging_hub.log import filter_fields
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings, load
from imaging_hub.trust.vault import Vault

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_LONGEST = (
    "test_power_cuts_at_length.py",
    "test_faults_at_length.py",
    "test_figures_at_length.py",
    "test_demo_story.py",
    "test_hub_kill.py",
    "test_nothing_identifying_leaves.py",
    "test_hub_power.py",
    "test_database_stopped.py",
    "test_research_kill.py",
    "test_cohort_spark.py",
    "test_benches.py",
    "test_doctor.py",
    "test_third_party_unavailable.py",
    "test_gateway_power.py",
    "test_planted_identifiers.py",
    "test_linkage_indirect.py",
    "test_gateway_flood.py",
    "test_pages_walk.py",
    "test_cohort_oracle.py",
    "test_peers.py",
    "test_api_access.py",
)
"""Files that take longest go first, so that the processes end together; the others follow."""
_LONG_SECONDS = 3600
"""The long form takes all of what the short one takes a share of, beside other long forms."""
_NOBODY = 1
"""A port on which nobody listens: a hub that asks nothing of its third party needs none."""


os.environ["IMAGING_HUB_SPOOL_RESERVE_BYTES"] = str(1 << 60)
"""The disk counts as full, so that no test depends on how full it is: one that needs room asks for a reserve of 0."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options of the long form and of the share that a short run takes of it."""
    group = parser.getgroup("imaging-hub")
    group.addoption("--long", action="store_true", help="run the long forms too, and all cases that take turns")
    group.addoption(
        "--share", type=int, default=date.today().toordinal(), metavar="N",
        help="which cases of those that take turns run, as the header of an earlier run names them; else by the day",
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Have Spark's JVM optimise less in the short form, where it runs for half a minute: it is sooner done."""
    if not config.option.long:
        os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


def pytest_report_header(config: pytest.Config) -> str:
    """How to repeat this run."""
    share = _share(config)
    return "the long form" if share.is_long else f"share {share.number}: repeat it with --share {share.number}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to the long form what is not of this share; begin with the files that take longest.

    Last, so that what `-k` chooses is shared out among itself: one case alone always runs.
    """
    kept = _share(config).kept([_told(item) for item in items])
    config.hook.pytest_deselected(items=[item for item, stays in zip(items, kept, strict=True) if not stays])
    items[:] = [item for item, stays in zip(items, kept, strict=True) if stays]
    if config.option.long:
        for item in items:
            if "share" in item.fixturenames:  # type: ignore[attr-defined]
                item.add_marker(pytest.mark.timeout(_LONG_SECONDS))
    if not config.pluginmanager.hasplugin("randomly"):
        place = {name: number for number, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: place.get(item.path.name, len(place)))


def _told(item: pytest.Item) -> Case:
    function, _, case = item.nodeid.partition("[")
    turns = item.get_closest_marker("takes_turns")
    return Case(function, case, turns.args[0] if turns else 0, item.get_closest_marker("long") is not None)


def _share(config: pytest.Config) -> Share:
    return Share(config.option.share, config.option.long)


@pytest.fixture(scope="session")
def share(pytestconfig: pytest.Config) -> Share:
    """Which part of what is too long for every run this one takes."""
    return _share(pytestconfig)


@pytest.fixture
def postgres_folder() -> Iterator[Path]:
    """A folder for PostgreSQL, which runs as another user when the tests run as root.

    On a disk, and not below pytest's own: each pytest that starts takes the passage through that one away from others.
    """
    with tempfile.TemporaryDirectory(prefix="imaging-hub-postgres-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """An embedded PostgreSQL for the whole run of this process, which nothing of it outlives."""
    with (
        tempfile.TemporaryDirectory(
            prefix="imaging-hub-postgres-", dir=folder_in_memory(), ignore_cleanup_errors=True
        ) as folder,
        a_server(Path(folder) / "session") as running,
    ):
        without_durability(running)
        yield running


@contextmanager
def fresh_database(server: Database) -> Iterator[Database]:
    """A database of the newest revision that nothing else uses."""
    fresh = migrated(server)
    yield fresh
    dropped(fresh, server)


@pytest.fixture
def database(server: Database) -> Iterator[Database]:
    """A freshly migrated database for one test."""
    with fresh_database(server) as fresh:
        yield fresh


@pytest.fixture(scope="module")
def module_database(server: Database) -> Iterator[Database]:
    """A freshly migrated database for the tests of one file."""
    with fresh_database(server) as fresh:
        yield fresh


@pytest.fixture
def free_port() -> int:
    """A TCP port on which nobody listens."""
    return free_ports(1)[0]


@pytest.fixture
def settings(tmp_path: Path, database: Database) -> Settings:
    """Demonstration settings on a folder of the test's own, joined to its database."""
    made = load(
        home=tmp_path / "hub-data",
        environment="demonstration",
        database_url=database.owner_url.render_as_string(hide_password=False),
        database_role_password="unused-by-the-embedded-server",
        spool_reserve_bytes=0,
        gateway_port=0,
        trust_url=f"http://127.0.0.1:{_NOBODY}",
    )
    create_missing(made.keys)
    return made


@pytest.fixture
def vault(server: Database, tmp_path: Path) -> Iterator[Vault]:
    """A third party's vault in a database of its own."""
    made = a_vault(server, tmp_path / "trust-keys")
    yield made
    dropped(made.database, server)


@pytest.fixture
def third_party(vault: Vault) -> Iterator[ThirdParty]:
    """The hub's way to that vault."""
    with reached(vault) as known:
        yield known


@pytest.fixture
def settings_with_third_party(settings: Settings, vault: Vault) -> Iterator[Settings]:
    """The settings of a hub whose third party listens on a port."""
    with listening(vault, settings) as joined:
        yield joined


@pytest.fixture(scope="session")
def corpus() -> Path:
    """Folder of the shared corpus; the test is skipped where it is absent."""
    tool = _SHARED / "tools" / "corpus"
    if not tool.exists():
        pytest.skip("the shared corpus is not beside the project")
    return Path(subprocess.run([tool], check=True, capture_output=True, text=True).stdout.strip())


@pytest.fixture(scope="session")
def shared_tools(corpus: Path) -> Path:
    """Folder of the shared planting and scoring tools."""
    return _SHARED / "tools"


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    """What is logged, as it would be written."""
    capture = structlog.testing.LogCapture()
    structlog.configure(processors=[filter_fields, capture])
    yield capture.entries
    structlog.reset_defaults()

"""A worker process: runs jobs, and sweeps the tables for what is to be done: each second, or when it is woken."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import psycopg
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from psycopg import sql
from sqlalchemy.exc import OperationalError

from imaging_hub.database import DUE, Database, DatabaseRole
from imaging_hub.log import log
from imaging_hub.pseudonymisation.third_party import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work import health_check, queue
from imaging_hub.work.pipeline import StudyPipeline

SWEEP_SECONDS = 1.0
SWEEP_SECONDS_LEAST = 0.2
"""The next sweep comes sooner than usual when a study will have gone quiet by then, but not sooner than this."""
PURGE_SECONDS = 600.0
"""Between two looks at what retention no longer needs."""
LOOK_SECONDS = 30.0
"""Between two looks at what is wrong with the hub; a look may wait for peers that are away, and keeps no sweep."""


def run(settings: Settings, database: Database) -> None:
    """Work until asked to stop; a database that is away is waited for."""
    asyncio.run(_run(settings, database))


async def _run(settings: Settings, database: Database) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    pipeline = StudyPipeline(settings, database, ThirdParty.connect(settings))
    while not stop.is_set():
        try:
            await _work(pipeline, settings, database, stop)
        except (ConnectorException, psycopg.Error, OperationalError, OSError) as fault:
            log.warning("database-away", fault=type(fault).__name__)
            await _pause(stop, SWEEP_SECONDS)


async def _work(pipeline: StudyPipeline, settings: Settings, database: Database, stop: asyncio.Event) -> None:
    app = queue.connect(database, pipeline)
    async with app.open_async():
        jobs = asyncio.create_task(
            app.run_worker_async(
                install_signal_handlers=False,
                fetch_job_polling_interval=SWEEP_SECONDS,
                update_heartbeat_interval=queue.HEARTBEAT_SECONDS,
                stalled_worker_timeout=queue.STALLED_SECONDS,
                delete_jobs="successful",
                shutdown_graceful_timeout=10,
            )
        )
        woken = asyncio.Event()
        sweeps = asyncio.create_task(_sweep(app, pipeline, stop, woken))
        looks = asyncio.create_task(_look(settings, database, stop))
        hears = asyncio.create_task(_hear(database, woken))
        tasks = (jobs, sweeps, looks, hears)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _look(settings: Settings, database: Database, stop: asyncio.Event) -> None:
    """Until told to stop, write down what is wrong with the hub; a look that fails keeps no study waiting."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(health_check.write_report, settings, database)
        except Exception as fault:
            log.warning("diagnosis-failed", exc_info=fault)
        await _pause(stop, LOOK_SECONDS)


async def _hear(database: Database, woken: asyncio.Event) -> None:
    """Have the next sweep begin as soon as somebody says that something is due."""
    async with await psycopg.AsyncConnection.connect(database.conninfo(DatabaseRole.WORKER), autocommit=True) as line:
        await line.execute(sql.SQL("LISTEN {}").format(sql.Identifier(DUE)))
        woken.set()  # for what was said before anybody listened
        async for _ in line.notifies():
            woken.set()


async def _sweep(app: App, pipeline: StudyPipeline, stop: asyncio.Event, woken: asyncio.Event) -> None:
    """Until told to stop, turn what the tables say is due into jobs."""
    clock, purge_at = asyncio.get_running_loop().time, 0.0
    while not stop.is_set():
        woken.clear()  # before the look, so that what is said during it leads to another
        due = await asyncio.to_thread(pipeline.due)
        for study in due.studies:
            await queue.enqueue(app, "study", study=study)
        for release in due.releases:
            await queue.enqueue(app, "release", release=release)
        for study_uid in due.sinks:
            await queue.enqueue(app, "sink", study=study_uid)
        await queue.requeue_stalled(app)
        if clock() >= purge_at:
            await asyncio.to_thread(pipeline.purge)
            purge_at = clock() + PURGE_SECONDS
        soon = SWEEP_SECONDS if due.next_quiet is None else due.next_quiet
        await _pause(woken, min(SWEEP_SECONDS, max(SWEEP_SECONDS_LEAST, soon)))


async def _pause(until: asyncio.Event, seconds: float) -> None:
    """Wait for an event, no longer than so long."""
    with suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)

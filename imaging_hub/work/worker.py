"""Worker process: runs jobs, and sweeps the tables for due rows every second or when notified."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress

import psycopg
from procrastinate import App
from procrastinate.exceptions import ConnectorException
from psycopg import sql
from sqlalchemy.exc import OperationalError

from imaging_hub.database import DUE_CHANNEL, Database, DatabaseRole
from imaging_hub.log import log
from imaging_hub.pseudonymisation.third_party_client import ThirdParty
from imaging_hub.settings import Settings
from imaging_hub.work import hub_diagnosis, job_queue
from imaging_hub.work.pipeline import StudyPipeline

SWEEP_SECONDS = 1.0
MIN_SWEEP_SECONDS = 0.2
"""Shortest interval, when an open study can be closed before the next regular sweep."""
PURGE_SECONDS = 600.0
"""Between two purges."""
HEALTH_CHECK_SECONDS = 30.0
"""Between two health checks, which run beside the sweeps since they may wait for peers."""


def run(settings: Settings, database: Database) -> None:
    """Run until stopped; wait for a database that does not answer."""
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
            await _wait(stop, SWEEP_SECONDS)


async def _work(pipeline: StudyPipeline, settings: Settings, database: Database, stop: asyncio.Event) -> None:
    app = job_queue.create_app(database, pipeline)
    async with app.open_async():
        jobs = asyncio.create_task(
            app.run_worker_async(
                install_signal_handlers=False,
                fetch_job_polling_interval=SWEEP_SECONDS,
                update_heartbeat_interval=job_queue.HEARTBEAT_SECONDS,
                stalled_worker_timeout=job_queue.STALLED_SECONDS,
                delete_jobs="successful",
                shutdown_graceful_timeout=10,
            )
        )
        woken = asyncio.Event()
        sweeps = asyncio.create_task(_sweep(app, pipeline, stop, woken))
        checks = asyncio.create_task(_check_health(settings, database, stop))
        notifications = asyncio.create_task(_listen(database, woken))
        tasks = (jobs, sweeps, checks, notifications)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _check_health(settings: Settings, database: Database, stop: asyncio.Event) -> None:
    """Store a health report at intervals; a check that fails delays no study."""
    while not stop.is_set():
        try:
            await asyncio.to_thread(hub_diagnosis.write_report, settings, database)
        except Exception as fault:
            log.warning("diagnosis-failed", exc_info=fault)
        await _wait(stop, HEALTH_CHECK_SECONDS)


async def _listen(database: Database, woken: asyncio.Event) -> None:
    """Start the next sweep as soon as a notification arrives."""
    async with await psycopg.AsyncConnection.connect(
        database.conninfo(DatabaseRole.WORKER), autocommit=True
    ) as connection:
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(DUE_CHANNEL)))
        woken.set()  # for notifications sent before we listened
        async for _ in connection.notifies():
            woken.set()


async def _sweep(app: App, pipeline: StudyPipeline, stop: asyncio.Event, woken: asyncio.Event) -> None:
    """Enqueue a job for each due row, until stopped."""
    clock, purge_at = asyncio.get_running_loop().time, 0.0
    while not stop.is_set():
        woken.clear()  # before the query, so that a notification during it leads to another sweep
        due = await asyncio.to_thread(pipeline.due)
        for study in due.studies:
            await job_queue.enqueue(app, "study", study=study)
        for release in due.releases:
            await job_queue.enqueue(app, "release", release=release)
        for study_uid in due.sinks:
            await job_queue.enqueue(app, "sink", study=study_uid)
        await job_queue.requeue_stalled(app)
        if clock() >= purge_at:
            await asyncio.to_thread(pipeline.purge)
            purge_at = clock() + PURGE_SECONDS
        soon = SWEEP_SECONDS if due.next_completion_seconds is None else due.next_completion_seconds
        await _wait(woken, min(SWEEP_SECONDS, max(MIN_SWEEP_SECONDS, soon)))


async def _wait(until: asyncio.Event, seconds: float) -> None:
    """Wait for an event, at most `seconds`."""
    with suppress(TimeoutError):
        await asyncio.wait_for(until.wait(), seconds)

"""Jobs carried by procrastinate on the hub's own PostgreSQL; the tables, not the queue, say what is to be done.

A job names a row and nothing else. It may be lost or done twice: the sweep finds it again in the
tables, and every step of the pipeline is idempotent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from procrastinate import App, JobContext, PsycopgConnector, RetryStrategy
from procrastinate.exceptions import AlreadyEnqueued, UniqueViolation
from procrastinate.jobs import Job, Status
from sqlalchemy import Connection, text

from imaging_hub.database import Database, DatabaseRole
from imaging_hub.errors import ThirdPartyUnavailable
from imaging_hub.log import log
from imaging_hub.work.pipeline import StudyPipeline

ATTEMPTS = 5
"""A study that fails so often is quarantined, so that it cannot be tried for ever."""
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
"""A worker silent for so long is dead; its jobs go back to the queue (procrastinate #1518)."""


def connect(database: Database, pipeline: StudyPipeline) -> App:
    """The queue's application, its tasks bound to `pipeline`."""
    connector = PsycopgConnector(
        conninfo=database.conninfo(DatabaseRole.WORKER),
        kwargs={"options": "-c search_path=work"},
        min_size=1,
        max_size=4,
    )
    app = App(connector=connector)
    retry = RetryStrategy(max_attempts=ATTEMPTS, exponential_wait=2)

    @app.task(name="study", retry=retry, pass_context=True)
    def study(context: JobContext, study: int) -> None:
        with _last_attempt(context, lambda: pipeline.give_up(study)):
            pipeline.process_study(study)

    @app.task(name="release", retry=retry, pass_context=True)
    def release(context: JobContext, release: str) -> None:
        with _last_attempt(context, lambda: pipeline.fail_release(release)):
            pipeline.prepare_release(release)

    # What the sink did not take in so many attempts, the next sweep finds again.
    @app.task(name="sink", retry=retry)
    def sink(study: str) -> None:
        pipeline.send_to_sink(study)

    return app


@contextmanager
def _last_attempt(context: JobContext, give_up: Callable[[], None]) -> Iterator[None]:
    """Let a fault have the job tried again; the last time, give up instead.

    That the third party is away is no fault of the row: the sweep finds it again when the third party is back.
    """
    try:
        yield
    except ThirdPartyUnavailable as away:
        log.warning("third-party-away", code=away.code, job=context.job.task_name)
    except Exception as fault:
        log.error("job-failed", job=context.job.task_name, attempts=context.job.attempts + 1, exc_info=fault)
        if context.job.attempts + 1 < ATTEMPTS:
            raise
        give_up()


async def enqueue(app: App, task: str, **row: int | str) -> None:
    """Put one job in the queue unless it waits there already; two of a row never run at once."""
    key = f"{task}:{next(iter(row.values()))}"
    try:
        await app.configure_task(task, lock=key, queueing_lock=key).defer_async(**row)
    except AlreadyEnqueued:
        return


def workers_alive(connection: Connection) -> int:
    """How many workers gave a sign of life lately."""
    count = connection.execute(
        text(
            "SELECT count(*) FROM work.procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :s)"
        ),
        {"s": STALLED_SECONDS},
    ).scalar_one()
    return int(count)


async def requeue_stalled(app: App) -> None:
    """Give the jobs of dead workers to living ones."""
    jobs = app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        try:
            await jobs.retry_job(job)
        except UniqueViolation:
            # The sweep has put the same row in the queue meanwhile; the dead worker's job only stands in its way.
            await jobs.finish_job_by_id_async(job_id=_number(job), status=Status.FAILED, delete_job=True)


def _number(job: Job) -> int:
    if job.id is None:
        raise ValueError("a job that was fetched has a number")
    return job.id

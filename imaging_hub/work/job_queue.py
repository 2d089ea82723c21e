"""Job queue: procrastinate on the hub's own PostgreSQL. The tables, not the queue, say what is due.

A job names a row and nothing else. It may be lost or run twice: the sweep finds the row again, and every step of the
pipeline may be repeated.
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

MAX_ATTEMPTS = 5
"""A study that fails so often is quarantined."""
HEARTBEAT_SECONDS = 5.0
STALLED_SECONDS = 20.0
"""A worker without a heartbeat for so long is taken for dead, and its jobs are requeued (procrastinate #1518)."""


def create_app(database: Database, pipeline: StudyPipeline) -> App:
    """Create the procrastinate app, with its tasks bound to `pipeline`."""
    connector = PsycopgConnector(
        conninfo=database.conninfo(DatabaseRole.WORKER),
        kwargs={"options": "-c search_path=work"},
        min_size=1,
        max_size=4,
    )
    app = App(connector=connector)
    retry = RetryStrategy(max_attempts=MAX_ATTEMPTS, exponential_wait=2)

    @app.task(name="study", retry=retry, pass_context=True)
    def study(context: JobContext, study: int) -> None:
        with _retry_or_give_up(context, lambda: pipeline.give_up(study)):
            pipeline.process_study(study)

    @app.task(name="release", retry=retry, pass_context=True)
    def release(context: JobContext, release: str) -> None:
        with _retry_or_give_up(context, lambda: pipeline.fail_release(release)):
            pipeline.prepare_release(release)

    # A study that the sink did not take is found again by the next sweep.
    @app.task(name="sink", retry=retry)
    def sink(study: str) -> None:
        pipeline.send_to_sink(study)

    return app


@contextmanager
def _retry_or_give_up(context: JobContext, give_up: Callable[[], None]) -> Iterator[None]:
    """Have procrastinate retry the job after an exception; give up after the last attempt.

    A third party that does not answer is no failure of the row: a later sweep finds it again.
    """
    try:
        yield
    except ThirdPartyUnavailable as away:
        log.warning("third-party-away", code=away.code, job=context.job.task_name)
    except Exception as fault:
        log.error("job-failed", job=context.job.task_name, attempts=context.job.attempts + 1, exc_info=fault)
        if context.job.attempts + 1 < MAX_ATTEMPTS:
            raise
        give_up()


async def enqueue(app: App, task: str, **row: int | str) -> None:
    """Enqueue a job unless it is in the queue already; two jobs of one row never run at the same time."""
    key = f"{task}:{next(iter(row.values()))}"
    try:
        await app.configure_task(task, lock=key, queueing_lock=key).defer_async(**row)
    except AlreadyEnqueued:
        return


def count_live_workers(connection: Connection) -> int:
    """Count the workers with a recent heartbeat."""
    count = connection.execute(
        text(
            "SELECT count(*) FROM work.procrastinate_workers WHERE last_heartbeat > now() - make_interval(secs => :s)"
        ),
        {"s": STALLED_SECONDS},
    ).scalar_one()
    return int(count)


async def requeue_stalled(app: App) -> None:
    """Requeue the jobs of dead workers."""
    jobs = app.job_manager
    for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        try:
            await jobs.retry_job(job)
        except UniqueViolation:
            # The sweep has enqueued the same row meanwhile, so the dead worker's job can go.
            await jobs.finish_job_by_id_async(job_id=_require_id(job), status=Status.FAILED, delete_job=True)


def _require_id(job: Job) -> int:
    if job.id is None:
        raise ValueError("a job that was fetched has a number")
    return job.id

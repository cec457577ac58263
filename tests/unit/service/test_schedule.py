import threading

import structlog

from service.schedule import Job, scheduled


def test_jobs_are_done_again_and_again_while_the_block_lasts() -> None:
    done = threading.Semaphore(0)
    with scheduled(Job(name="one", every_s=0.01, run=done.release)):
        assert all(done.acquire(timeout=10.0) for _ in range(3))


def test_a_job_that_fails_is_told_and_tried_again_and_holds_no_other_up() -> None:
    failed, done = threading.Semaphore(0), threading.Semaphore(0)

    def fail() -> None:
        failed.release()
        raise ValueError("no luck")

    jobs = (Job(name="bad", every_s=0.01, run=fail), Job(name="good", every_s=0.01, run=done.release))
    with structlog.testing.capture_logs() as logs, scheduled(*jobs):
        assert all(failed.acquire(timeout=10.0) and done.acquire(timeout=10.0) for _ in range(3))
    assert {"event": "job_failed", "job": "bad", "error": "no luck", "log_level": "warning"}.items() <= logs[0].items()


def test_a_job_under_way_is_finished_at_the_end() -> None:
    begun, ended = threading.Event(), []

    def work() -> None:
        begun.set()
        threading.Event().wait(0.05)
        ended.append(True)

    with scheduled(Job(name="slow", every_s=0.01, run=work)):
        assert begun.wait(10.0)
    assert ended

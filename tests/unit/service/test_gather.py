"""Messages gathered into batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ingest.syslog import Message
from service.gather import Gather, GatherLimits


def message(number: int) -> Message:
    return Message(b"<13>order %d" % number, "192.0.2.1")


def run(story: Callable[[], object]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(10):
            await story()  # type: ignore[misc]  # a coroutine function

    asyncio.run(bounded())


class Kept:
    """Remembers batches; keeps one only when it is let."""

    def __init__(self, *, open_: bool = True) -> None:
        self.batches: list[int] = []
        self.first = asyncio.Event()
        self.gate = asyncio.Event()
        if open_:
            self.gate.set()

    async def __call__(self, messages: list[Message]) -> None:
        await self.gate.wait()
        self.batches.append(len(messages))
        self.first.set()


def test_a_batch_is_kept_when_it_is_full_and_what_is_left_at_the_end() -> None:
    async def story() -> None:
        kept = Kept()
        gather = Gather(kept, GatherLimits(lines=3, size=10_000, wait_s=60))
        running = asyncio.create_task(gather.run())
        for number in range(7):
            await gather.room()
            gather.add([message(number)])
        gather.close()
        await running
        assert kept.batches == [3, 3, 1]

    run(story)


def test_a_batch_that_does_not_fill_is_kept_after_a_while() -> None:
    async def story() -> None:
        kept = Kept()
        gather = Gather(kept, GatherLimits(lines=1000, size=10_000, wait_s=0.01))
        running = asyncio.create_task(gather.run())
        gather.add([message(1), message(2)])
        await kept.first.wait()
        assert kept.batches == [2]
        gather.close()
        await running

    run(story)


def test_a_batch_is_full_by_its_size_too() -> None:
    async def story() -> None:
        gather = Gather(Kept(), GatherLimits(lines=1000, size=20, wait_s=60))
        assert gather.has_room
        gather.add([message(1), message(2)])
        assert not gather.has_room

    run(story)


def test_while_nothing_can_be_kept_there_is_room_for_one_batch_more() -> None:
    async def story() -> None:
        kept = Kept(open_=False)
        gather = Gather(kept, GatherLimits(lines=2, size=10_000, wait_s=60))
        running = asyncio.create_task(gather.run())
        gather.add([message(1), message(2)])
        await gather.room()
        gather.add([message(3), message(4)])
        waiting = asyncio.create_task(gather.room())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        kept.gate.set()
        await waiting
        gather.close()
        await running
        assert kept.batches == [2, 2]

    run(story)

"""The static source."""

from types import SimpleNamespace

from extsync.model import Backend, Outcome
from extsync.seams.virtual import VirtualClock, virtual_time
from extsync.sources.static import StaticSource
from tests.sources.support import context, running


def source(*backends: Backend) -> StaticSource:
    return StaticSource(SimpleNamespace(backends=backends), context(clock=VirtualClock()))


@virtual_time
async def test_declared_backends_are_reported_once_and_never_again() -> None:
    declared = (Backend("10.0.0.1", hostname="db-1"), Backend("10.0.0.2"))
    async with running(source(*declared)) as reports:
        await VirtualClock().sleep(86_400)
        assert [report.backends for report in reports.seen] == [declared]
        assert reports.seen[0].outcome is Outcome.FOUND


@virtual_time
async def test_a_list_without_backends_is_empty_and_no_error() -> None:
    async with running(source()) as reports:
        await VirtualClock().sleep(1)
        assert [report.outcome for report in reports.seen] == [Outcome.EMPTY]

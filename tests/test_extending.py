"""The examples of docs/extending.md do what the page says."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from extsync.errors import ConfigError
from extsync.health.base import PASSED, Check, CheckContext, CheckFactory, Failed
from extsync.model import Backend, Observation, Outcome
from extsync.seams import SystemDialer
from extsync.seams.virtual import SeededRandom, VirtualClock, virtual_time
from extsync.sources.base import SourceContext
from extsync.sources.supervise import first_report

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()


@pytest.fixture
def example(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """The example that begins with the given word, as a module."""
    [text] = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if request.param in code[:40]]
    module = ModuleType(request.param)
    sys.modules[request.param] = module
    exec(compile(text, request.param, "exec"), module.__dict__)
    yield module
    del sys.modules[request.param]


@pytest.mark.parametrize("example", ["acme_inventory"], indirect=True)
def test_the_source_reports_what_it_reads(example: ModuleType, tmp_path: Path) -> None:
    @virtual_time
    async def report() -> Observation:
        context = SourceContext("machines", "default", tmp_path, VirtualClock(), SeededRandom(1), SystemDialer())
        source = example.InventorySource({"file": "machines.txt"}, context)
        return await first_report(source, context.clock, 1.0)

    assert report().outcome is Outcome.ERROR
    (tmp_path / "machines.txt").write_text("")
    assert report().outcome is Outcome.EMPTY
    (tmp_path / "machines.txt").write_text("192.0.2.1\n192.0.2.2\n")
    assert report() == Observation(Outcome.FOUND, (Backend("192.0.2.1"), Backend("192.0.2.2")))


@pytest.mark.parametrize("example", ["acme_gateway"], indirect=True)
def test_the_check_judges_the_greeting(example: ModuleType) -> None:
    factory: CheckFactory = example.GreetingCheck
    context = CheckContext(Path(), {})
    check: Check = factory({}, context)
    request = check.request("192.0.2.1", 80)
    assert (request.port, request.data, request.listens) == (80, b"STATUS\r\n", True)
    assert check.judge(request, b"REA", False) is None
    assert check.judge(request, b"READY\r\n", False) == PASSED
    assert check.judge(request, b"DRAINING\r\n", False) == Failed("the gateway says b'DRAINING'")
    assert isinstance(check.judge(request, b"x" * 2000, False), Failed)
    assert check == factory({}, context) != factory({"word": "UP"}, context)
    assert pickle.loads(pickle.dumps(check)) == check
    with pytest.raises(ConfigError, match="must be a text"):
        factory({"word": 7}, context)

"""Trouble is told of once at its beginning and once at its end, whoever meets it and however often."""

from __future__ import annotations

import asyncio
import logging

import pytest

from extsync.errors import Unavailable
from extsync.kube import trouble
from extsync.kube.trouble import Trouble
from extsync.seams.virtual import VirtualClock, virtual_time


def refused(what: str = "list services") -> Unavailable:
    return Unavailable(f"{what}: cannot connect: refused")


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.message for record in caplog.records]
    caplog.clear()
    return messages


@pytest.fixture(autouse=True)
def everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@virtual_time
async def test_one_cause_is_one_line_for_all_and_its_end_another(caplog: pytest.LogCaptureFixture) -> None:
    weather = Trouble(clock=VirtualClock())
    weather.met("a", refused("list services"), "first")
    weather.met("b", refused("watch endpoints"), "second")
    weather.met("a", refused("list services"), "third")
    assert said(caplog) == ["first"]
    await asyncio.sleep(62)
    weather.over("a")
    weather.over("a")
    assert said(caplog) == []
    weather.over("b")
    assert said(caplog) == ["over after 62 s: cannot connect: refused"]
    weather.met("a", refused(), "again")
    assert said(caplog) == ["again"]


@virtual_time
async def test_another_cause_is_told_of_and_numbers_make_none(caplog: pytest.LogCaptureFixture) -> None:
    weather = Trouble(clock=VirtualClock())
    for number in range(100):
        weather.met("a", Unavailable(f"list services: it took {number} ms"), f"slow {number}")
    assert said(caplog) == ["slow 0"]
    weather.met("a", refused(), "refused")
    assert said(caplog) == ["refused"]
    weather.over("a")
    assert said(caplog) == ["over after 0 s: cannot connect: refused"]


@virtual_time
async def test_what_is_met_now_and_then_is_not_told_of_each_time(caplog: pytest.LogCaptureFixture) -> None:
    weather = Trouble(clock=VirtualClock())
    for _ in range(20):
        weather.met("a", refused(), "refused")
        weather.left("a")
        await asyncio.sleep(trouble.REMEMBERED / 2)
    assert said(caplog) == ["refused"]
    await asyncio.sleep(trouble.REMEMBERED)
    weather.met("a", refused(), "refused anew")
    assert said(caplog) == ["refused anew"]


@virtual_time
async def test_beyond_a_number_causes_are_not_told_of(caplog: pytest.LogCaptureFixture) -> None:
    weather = Trouble(clock=VirtualClock())
    for number in range(trouble.MOST_CAUSES + 10):
        weather.met(number, Unavailable("x: " + "y" * number), "told")
    assert len(said(caplog)) == trouble.MOST_CAUSES

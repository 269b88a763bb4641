"""A check held against what a server says, without a connection: the fuzzed tests of the protocols."""

from __future__ import annotations

from extsync.health.base import Check, Failed, Passed, Request, Result, Say

TOO_MUCH = 64 * 1024
"""Bytes by which every check must have decided."""


def judged(check: Check, *answers: bytes, eof: bool = False) -> Result | None:
    """What follows from ``answers``, each given in one piece to what the check says; ``eof`` after the last one."""
    request = check.request("192.0.2.1", 80)
    result: Result | None = None
    for number, answer in enumerate(answers, start=1):
        result = check.judge(request, answer, eof and number == len(answers))
        if not isinstance(result, Say):
            return result
        request = result.request
    return result


def said(check: Check, *answers: bytes) -> Request:
    """What the check says after ``answers``."""
    result = judged(check, *answers)
    assert isinstance(result, Say)
    return result.request


def holds_against(check: Check, before: tuple[bytes, ...], noise: bytes) -> None:
    """After ``before``, ``noise`` makes the check raise nothing, and decide, the same however it comes in pieces."""
    request = check.request("192.0.2.1", 80)
    for answer in before:
        result = check.judge(request, answer, False)
        assert isinstance(result, Say)
        request = result.request
    at_once = check.judge(request, noise, True)
    assert isinstance(at_once, Passed | Failed | Say)
    piecewise = None
    for end in range(1, len(noise) + 1):
        assert check.awaited(request, noise[:end])
        piecewise = piecewise or check.judge(request, noise[:end], False)
    assert type(piecewise or check.judge(request, noise, True)) is type(at_once)
    if noise:
        repeated = noise * (TOO_MUCH // len(noise) + 1)
        assert check.judge(request, repeated, False) is not None

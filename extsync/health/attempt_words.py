"""What is told of an attempt, in words: how far it is, what has gone wrong, what to note although it passed."""

from __future__ import annotations

import errno

from extsync.health import tls_words
from extsync.health.base import Failed, Passed
from extsync.health.conversation import Conversation, words
from extsync.health.record import Record


def stage(record: Record) -> str:
    """What the attempt in flight is at, to follow "timed out after 1 s"."""
    if record.talk is None:
        return "connecting"
    try:
        doubt, at = record.talk.doubt, record.talk.stage()
        return at if doubt is None else f"{at} again: {tls_words.words(doubt)}"
    except Exception as error:  # whatever a plugin raises
        return f"({blame(error)})"


def fault(record: Record, talk: Conversation, error: OSError) -> Failed:
    """What has gone wrong with the connection of the attempt in flight."""
    code = error.errno or 0
    if talk.request.datagram:
        return Failed("port unreachable" if code == errno.ECONNREFUSED else words(code))
    at = stage(record)
    return Failed(words(code) if at == "connecting" else f"{words(code)} ({at})")


def note(talk: Conversation, result: Passed, now: float) -> str:
    """What a person should know after a pass at ``now`` of the wall clock, or ""."""
    certificate = talk.certificate
    if not certificate:
        return result.note
    return "; ".join(filter(None, (tls_words.notice(certificate, now), result.note)))


def blame(error: Exception) -> str:
    """That the check raised ``error``."""
    return f"the check itself failed: {type(error).__name__}: {error}"


def after(hops: int) -> str:
    """What follows a reason where so many redirects led to it."""
    return f" (after {hops} redirect{'s' if hops > 1 else ''})" if hops else ""

"""What holds whatever a server says."""

from __future__ import annotations

from collections.abc import Iterable

from tests.fuzz.subjects import Outcome, Reader, Subject

LONGEST_TEXT = 400
_PIECE = 16384


def hold(subject: Subject, data: bytes, cuts: Iterable[int]) -> None:
    """Fails with AssertionError, or with whatever was raised, where ``data`` shows that something does not hold.

    1. Nothing raises. 2. What is decided does not depend on how the bytes come in pieces, and is so at the latest when
    the connection ends. 3. It is decided before more has come than is enough. 4. What a person is told is printable,
    on one line, and not long.
    """
    at_once = _read(subject, [data])
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    pieces = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    piecewise = _read(subject, pieces)
    assert piecewise == at_once, f"{at_once} at once, {piecewise} in {len(pieces)} pieces"
    if subject.enough and data:
        repeated = data * (subject.enough // len(data) + 1)
        reader = subject.start()
        assert any(
            reader.read(repeated[start : start + _PIECE], eof=False) for start in range(0, len(repeated), _PIECE)
        ), f"nothing is decided after {len(repeated)} bytes"
        _are_fit_to_be_told(reader)


def _read(subject: Subject, pieces: list[bytes]) -> Outcome:
    reader = subject.start()
    outcome = None
    for piece in pieces:
        if piece and outcome is None:
            outcome = reader.read(piece, eof=False)
    if outcome is None:
        outcome = reader.read(b"", eof=True)
    _are_fit_to_be_told(reader)
    assert outcome is not None, "nothing is decided although the connection has ended"
    return outcome


def _are_fit_to_be_told(reader: Reader) -> None:
    for text in reader.said:
        assert text.isprintable(), f"not printable: {text!r}"
        assert len(text) <= LONGEST_TEXT, f"{len(text)} characters: {text!r}"

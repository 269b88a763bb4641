"""Asks name servers, in their order, until one of them gives an answer that can be believed."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Sequence
from typing import Final

import dns.flags
import dns.message
import dns.rcode
from dns.exception import DNSException
from dns.message import Message, QueryMessage, Truncated
from dns.name import Name
from dns.rdatatype import NS, SOA, RdataType

from extsync.errors import ReadFailed
from extsync.seams import Clock
from extsync.sources.dns.exchange import Exchange, Server, Transport
from extsync.sources.dns.servers import Nameservers

PAYLOAD: Final = 1232
"""Bytes that an answer over UDP may have: what passes every network in one piece (DNS flag day 2020)."""

FIRST_ROUND: Final = 1 / 3
"""The share of the time in which all servers are asked once; over UDP, those that said nothing are asked again."""

SILENCE: Final = 30.0
"""Seconds for which a server that said nothing is asked after all others."""

_CURES: Final = {
    dns.rcode.SERVFAIL: ": it could not find out; its own log says why",
    dns.rcode.REFUSED: ": it serves other names or other clients; allow this one, or name another server",
}
_CERTIFICATE: Final = "it must be for the IP address that is asked, of an authority that the system trusts, and current"
_OVER: Final[dict[Transport, str]] = {"UDP": "UDP, and TCP for long answers", "TCP": "TCP", "TLS": "TLS"}

_START: Final = ": is it running there?"
_OVER_TCP: Final = "answers over UDP, but over TCP, which an answer of this length needs,"
_ALLOW: Final = ": is TCP to it allowed?"


class _Trial:
    """How far one server got with one question: why there is no answer, whether it said nothing at all, and whether it
    said that the answer takes TCP."""

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.is_silent = True
        self.needs_tcp = False


class Resolver:
    """Asks ``nameservers`` over one transport; over UDP, with TCP where an answer does not fit."""

    def __init__(self, nameservers: Nameservers, *, transport: Transport, clock: Clock, exchange: Exchange) -> None:
        self._nameservers = nameservers
        self._transport: Transport = transport
        self._clock = clock
        self._exchange = exchange
        self._no_answer = f"gave no valid answer in time: is it running, and can it be reached over {_OVER[transport]}?"
        self._silent_at: dict[Server, float] = {}

    async def ask(self, name: Name, rdtype: RdataType, *, deadline: float) -> Message:
        """The first response that says what there is: a whole one, of code NOERROR or NXDOMAIN.

        Raises ReadFailed at ``deadline`` (monotonic seconds), or when no server has such a response.
        """
        servers = self._nameservers()
        trials = {server: _Trial(self._no_answer) for server in servers}
        for share in (FIRST_ROUND, 1.0) if self._transport == "UDP" else (1.0,):
            to_ask = self._in_order([server for server in servers if trials[server].is_silent])
            for index, server in enumerate(to_ask):
                seconds = share * (deadline - self._clock.monotonic()) / (len(to_ask) - index)
                message = await self._try(server, name, rdtype, seconds, trials[server])
                if message is not None:
                    return message
        raise ReadFailed("; ".join(f"{server} {trials[server].fault}" for server in servers))

    def _in_order(self, servers: Sequence[Server]) -> list[Server]:
        """The servers with those that lately said nothing behind the others."""
        before = self._clock.monotonic() - SILENCE
        self._silent_at = {server: at for server, at in self._silent_at.items() if at > before}
        return sorted(servers, key=self._silent_at.__contains__)

    async def _try(
        self, server: Server, name: Name, rdtype: RdataType, seconds: float, trial: _Trial
    ) -> Message | None:
        """What one server says within ``seconds``, None where that is no answer."""
        if seconds <= 0:
            return None
        try:
            async with self._clock.timeout(seconds):
                message = await self._exchanged(server, name, rdtype, trial)
        except TimeoutError:
            self._silent_at[server] = self._clock.monotonic()
            trial.fault = f"{_OVER_TCP} gave no answer in time{_ALLOW}" if trial.needs_tcp else self._no_answer
            return None
        except (OSError, EOFError, DNSException) as error:
            trial.is_silent = False
            trial.fault = f"{_OVER_TCP} {_why(error, cure=_ALLOW)}" if trial.needs_tcp else _why(error)
            return None
        self._silent_at.pop(server, None)
        trial.is_silent, trial.fault = False, _fault(message)
        return None if trial.fault else message

    async def _exchanged(self, server: Server, name: Name, rdtype: RdataType, trial: _Trial) -> Message:
        query = dns.message.make_query(name, rdtype, use_edns=0, payload=PAYLOAD)
        message = await self._whole(query, server, trial)
        if message.rcode() in (dns.rcode.FORMERR, dns.rcode.NOTIMP) and message.edns < 0:
            # RFC 6891, section 7: a server that does not know EDNS is asked without.
            plain = dns.message.make_query(name, rdtype)
            message = await self._whole(plain, server, trial)
        return message

    async def _whole(self, query: QueryMessage, server: Server, trial: _Trial) -> Message:
        """The response, over TCP where it does not fit a datagram."""
        if self._transport != "UDP":
            return await self._exchange(query, server, self._transport)
        if not trial.needs_tcp:
            try:
                return await self._exchange(query, server, "UDP")
            except Truncated:
                trial.needs_tcp = True
        return await self._exchange(query, server, "TCP")


def _fault(message: Message) -> str:
    """Why a response says nothing about its name, or ""."""
    if message.flags & dns.flags.TC:
        return "sends an answer that is cut off even over TCP"
    code = message.rcode()
    if code == dns.rcode.NXDOMAIN:
        return ""
    if code != dns.rcode.NOERROR:
        return f"answers {dns.rcode.to_text(code)}{_CURES.get(code, '')}"
    if not message.answer and _is_referral(message):
        return "refers to other servers: it does not resolve names for others; name one that does"
    return ""


def _is_referral(message: Message) -> bool:
    """Whether an empty answer says "ask others" and not "there is none" (RFC 2308, section 2.2)."""
    if message.flags & dns.flags.AA:
        return False
    kinds = [rrset.rdtype for rrset in message.authority]
    return not message.flags & dns.flags.RA or (NS in kinds and SOA not in kinds)


def _why(error: OSError | EOFError | DNSException, *, cure: str = _START) -> str:
    """An error in words; ``cure`` goes with a connection that is refused."""
    match error:
        case ssl.SSLCertVerificationError():
            told = error.verify_message.rstrip(".")
            return f"has a certificate that does not verify ({told}): {_CERTIFICATE}"
        case ssl.SSLError():
            return f"fails in TLS ({error}): does it speak DNS over TLS at this port?"
        case ConnectionRefusedError():
            return f"refuses the connection{cure}"
        case OSError(errno=errno.EMFILE | errno.ENFILE):
            return "was not asked: extsync has too many files open (raise RLIMIT_NOFILE)"
        case OSError():
            return f"cannot be reached: {error.strerror or error}"
        case EOFError():
            return "closes the connection without an answer"
    return f"sends what is no answer: {error}"

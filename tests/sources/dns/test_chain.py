"""What a response says of a name."""

from __future__ import annotations

import re

import dns.flags
import dns.rcode
import pytest
from dns.rdatatype import AAAA, A, RdataType

from extsync.errors import ReadFailed
from extsync.model import Outcome
from extsync.sources.dns.chain import MOST_ALIASES, TTL_WITHOUT_SOA, Step, read
from tests.sources.dns.scripted import names, query, response, rrset, soa

ADDRESSES = rrset("db.example.com.", 60, "A", "192.0.2.1", "192.0.2.2")
ALIAS = rrset("www.example.com.", 40, "CNAME", "db.example.com.")


def step(*answer: object, name: str = "db.example.com.", rdtype: RdataType = A, **said: object) -> Step:
    return read(response(query(name), *answer, **said), rdtype, names(name))  # type: ignore[arg-type]


def test_records_of_the_name_are_found_with_their_ttl() -> None:
    found = step(ADDRESSES)
    assert found.outcome is Outcome.FOUND
    assert sorted(map(str, found.records)) == ["192.0.2.1", "192.0.2.2"]
    assert found.ttl == 60


def test_records_of_another_name_are_not_the_answer() -> None:
    assert step(rrset("other.example.com.", 60, "A", "192.0.2.9"), authority=[soa()]).outcome is Outcome.EMPTY


def test_names_are_compared_without_their_case() -> None:
    assert step(rrset("DB.example.COM.", 60, "A", "192.0.2.1")).outcome is Outcome.FOUND


def test_the_smallest_ttl_of_a_chain_counts() -> None:
    found = step(ALIAS, ADDRESSES, name="www.example.com.")
    assert found.outcome is Outcome.FOUND
    assert found.ttl == 40
    assert found.names == names("www.example.com.", "db.example.com.")


def test_a_chain_may_come_in_any_order() -> None:
    assert step(ADDRESSES, ALIAS, name="www.example.com.").outcome is Outcome.FOUND


def test_nodata_is_empty_and_nxdomain_is_gone() -> None:
    assert step(authority=[soa()]).outcome is Outcome.EMPTY
    assert step(authority=[soa()], rcode=dns.rcode.NXDOMAIN).outcome is Outcome.GONE


@pytest.mark.parametrize(("ttl", "minimum", "expected"), [(3600, 7, 7), (5, 600, 5), (3600, 0, 0)])
def test_a_negative_answer_holds_for_the_lesser_of_the_soa_and_its_minimum(
    ttl: int, minimum: int, expected: int
) -> None:
    assert step(authority=[soa("example.com.", ttl=ttl, minimum=minimum)]).ttl == expected


def test_the_soa_of_another_zone_says_nothing() -> None:
    assert step(authority=[soa("example.net.", minimum=600)]).ttl == TTL_WITHOUT_SOA


def test_a_negative_answer_without_a_soa_holds_for_a_moment() -> None:
    found = step(rcode=dns.rcode.NXDOMAIN)
    assert (found.outcome, found.ttl) == (Outcome.GONE, TTL_WITHOUT_SOA)


def test_nxdomain_at_the_end_of_a_chain_is_about_its_last_name() -> None:
    found = step(ALIAS, name="www.example.com.", authority=[soa(minimum=600)], rcode=dns.rcode.NXDOMAIN)
    assert (found.outcome, found.names[-1], found.ttl) == (Outcome.GONE, *names("db.example.com."), 40)


def test_nodata_at_the_end_of_a_chain_is_empty() -> None:
    assert step(ALIAS, name="www.example.com.", authority=[soa()]).outcome is Outcome.EMPTY


def test_a_chain_that_leaves_the_response_is_to_be_followed() -> None:
    found = step(ALIAS, name="www.example.com.", flags=dns.flags.AA)
    assert (found.outcome, found.names[-1], found.ttl) == (None, *names("db.example.com."), 40)


def test_aliases_that_lead_in_a_circle_are_no_answer() -> None:
    back = rrset("db.example.com.", 40, "CNAME", "www.example.com.")
    with pytest.raises(ReadFailed, match=re.escape("in a circle, by way of www.example.com.")):
        step(ALIAS, back, name="www.example.com.")


def test_an_alias_of_itself_is_a_circle() -> None:
    with pytest.raises(ReadFailed, match="circle"):
        step(rrset("db.example.com.", 40, "CNAME", "db.example.com."))


def test_a_circle_through_several_responses_is_seen() -> None:
    message = response(query("b."), rrset("b.", 40, "CNAME", "a."))
    with pytest.raises(ReadFailed, match="circle"):
        read(message, A, names("a.", "b."))


def test_a_chain_of_too_many_aliases_is_no_answer() -> None:
    chain = [rrset(f"a{n}.", 40, "CNAME", f"a{n + 1}.") for n in range(MOST_ALIASES + 1)]
    whole = [*chain[:MOST_ALIASES], rrset(f"a{MOST_ALIASES}.", 40, "A", "192.0.2.1")]
    assert step(*whole, name="a0.").outcome is Outcome.FOUND
    with pytest.raises(ReadFailed, match=f"have not ended after {MOST_ALIASES}"):
        step(*chain, name="a0.")


def test_a_response_that_contradicts_itself_is_no_answer() -> None:
    with pytest.raises(ReadFailed, match="does not exist, and yet has records"):
        step(ADDRESSES, rcode=dns.rcode.NXDOMAIN)


def test_a_name_that_has_another_type_only_is_empty() -> None:
    """So answer balancers that know one type: every question with their A records, and without a SOA record."""
    found = step(ADDRESSES, rdtype=AAAA)
    assert (found.outcome, found.ttl) == (Outcome.EMPTY, TTL_WITHOUT_SOA)
    assert step(ALIAS, ADDRESSES, name="www.example.com.", rdtype=AAAA).outcome is Outcome.EMPTY


def test_records_of_another_name_only_are_no_word_on_this_one() -> None:
    found = step(rrset("other.example.com.", 60, "A", "192.0.2.9"))
    assert (found.outcome, found.names) == (None, names("db.example.com."))


def test_a_name_that_does_not_exist_has_no_records_of_other_types_either() -> None:
    with pytest.raises(ReadFailed, match="does not exist, and yet has records"):
        step(ADDRESSES, rdtype=AAAA, rcode=dns.rcode.NXDOMAIN)

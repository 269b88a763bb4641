"""What a scrape says of the services, their sources and the process, in both formats."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as parsed

from extsync.engine.options import Options
from extsync.errors import Forbidden
from extsync.kube.memory import Fault
from extsync.model import Outcome
from extsync.seams.virtual import virtual_time
from extsync.web.exposition import MOST_SAMPLES, encode
from extsync.web.lag import lags
from extsync.web.metrics import families
from tests.engine.support import NAMESPACE, A, B, C, OnAndOff, Rig, feed, manifest, not_ready, rack, ready

OPENMETRICS = "application/openmetrics-text; version=1.0.0"


async def scraped(rig: Rig, *, each_endpoint: bool = False) -> dict[tuple[str, frozenset[str]], float]:
    """The value of each sample by its name and the values of its labels."""

    async def pause() -> None:
        await rig.clock.sleep(0)

    _, chunks = encode(await families(rig.engine, lags(), pause, each_endpoint=each_endpoint), "")
    text = b"".join(chunks).decode()
    return {
        (sample.name, frozenset(sample.labels.values()) - {NAMESPACE}): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def sample(name: str, *labels: str) -> tuple[str, frozenset[str]]:
    return name, frozenset(labels)


@virtual_time
async def test_endpoints_transitions_and_sources_of_a_service_are_told() -> None:
    rig = Rig()
    rig.up(A, B)
    rig.down(C)
    rig.feed().found(B, C)
    async with rig.running(manifest("web", rack(A), feed())):
        await rig.until(rig.agree("web", {**ready(A, B), C: False}), within=30.0)
        await rig.clock.sleep(40.0)
        rig.feed().fail(Outcome.ERROR)
        rig.down(B)
        await rig.until(rig.agree("web", {**ready(A), B: False, C: False}), within=40.0)
        found = await scraped(rig)
    service = "web"
    assert found[sample("extsync_service_endpoints", service, "ready")] == 1
    assert found[sample("extsync_service_endpoints", service, "not_ready")] == 2
    assert found[sample("extsync_service_endpoints", service, "draining")] == 0
    assert found[sample("extsync_transitions_total", service, "healthy")] == 2
    assert found[sample("extsync_transitions_total", service, "unhealthy")] == 2
    assert found[sample("extsync_source_backends", service, "feed")] == 2
    assert found[sample("extsync_source_stale", service, "feed")] == 1
    assert found[sample("extsync_source_stale", service, "rack")] == 0
    assert found[sample("extsync_source_age_seconds", service, "feed")] >= 40.0
    assert found[sample("extsync_source_reports_total", service, "feed", "error")] == 1
    assert found[sample("kube_endpoint_address_available", service)] == 1
    assert found[sample("kube_endpoint_address_not_ready", service)] == 2
    assert found[sample("extsync_synced")] == 1
    assert found[sample("extsync_probe_targets")] == 3
    assert found[sample("extsync_probes_total", "failed")] >= 3
    assert found[sample("extsync_probe_duration_seconds_count")] >= 6
    assert found[sample("extsync_writes_total", "create", "Endpoints")] == 1
    assert found[sample("extsync_prober_isolated")] == 0


@virtual_time
async def test_what_is_published_is_told_also_where_it_is_not_what_was_decided() -> None:
    rig = Rig()
    rig.up(A, B)
    async with rig.running(manifest("web", rack(A, B)), manifest("slices", rack(A, B), publish=["EndpointSlice"])):
        await rig.until(rig.agree("web", ready(A, B)), within=30.0)
        await rig.until(lambda: rig.slices("slices") == ready(A, B), within=30.0)
        rig.faults = lambda verb, kind, at: Fault(error=Forbidden("scripted")) if verb == "update" else None
        rig.down(B)
        await rig.clock.sleep(60.0)
        found = await scraped(rig)
        rig.faults = None
        await rig.until(lambda: rig.slices("slices") == {A: True, B: False}, within=60.0)
        after = await scraped(rig)
    assert found[sample("extsync_service_endpoints", "web", "ready")] == 1
    assert found[sample("kube_endpoint_address_available", "web")] == 2
    assert found[sample("kube_endpoint_address_available", "slices")] == 2
    assert after[sample("kube_endpoint_address_available", "slices")] == 1
    assert after[sample("kube_endpoint_address_not_ready", "slices")] == 1


@virtual_time
async def test_addresses_count_once_for_each_port() -> None:
    rig = Rig()
    ports = [{"name": "http", "port": 80}, {"name": "admin", "port": 81}]
    async with rig.running(manifest("web", rack(A, B), checks=[], ports=ports)):
        await rig.until(rig.agree("web", ready(A, B)), within=30.0)
        found = await scraped(rig)
    assert found[sample("kube_endpoint_address_available", "web")] == 4
    assert found[sample("extsync_service_endpoints", "web", "ready")] == 2


@virtual_time
async def test_a_replica_that_neither_writes_nor_probes_tells_what_is_published() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,), standby_probes=False))
    rig.up(A)
    async with rig.running(manifest("web", rack(A))):
        await rig.until(rig.agree("web", ready(A)), within=30.0)
        await rig.stop()
        leadership = OnAndOff()
        rig.manifests.put(manifest("web", rack(A)))
        rig.start(leadership=leadership)
        await rig.clock.sleep(60.0)
        found = await scraped(rig)
        rig.down(A)
        leadership.turn(on=True)
        await rig.until(rig.agree("web", not_ready(A)), within=90.0)
        leadership.turn(on=False)
        rig.up(A)
        await rig.clock.sleep(60.0)
        later = await scraped(rig)
    assert found[sample("extsync_service_endpoints", "web", "ready")] == 1
    assert found[sample("kube_endpoint_address_available", "web")] == 1
    assert later[sample("extsync_service_endpoints", "web", "not_ready")] == 1


@virtual_time
async def test_each_endpoint_has_a_series_where_that_is_asked_for() -> None:
    rig = Rig()
    rig.up(A)
    rig.down(B)
    async with rig.running(manifest("web", rack(A, B))):
        await rig.until(rig.agree("web", {A: True, B: False}), within=60.0)
        found = await scraped(rig, each_endpoint=True)
        assert not [one for one in await scraped(rig) if one[0] == "extsync_endpoint_ready"]
    assert found[sample("extsync_endpoint_ready", "web", "rack", A, "80")] == 1
    assert found[sample("extsync_endpoint_ready", "web", "rack", B, "80")] == 0


@virtual_time
async def test_failed_requests_are_told_by_code_and_are_no_writes() -> None:
    rig = Rig()
    rig.faults = lambda verb, kind, at: Fault(error=Forbidden("scripted")) if verb == "create" else None
    async with rig.running(manifest("web", rack(A), checks=[])):
        await rig.clock.sleep(5.0)
        found = await scraped(rig)
    assert found[sample("extsync_api_errors_total", "create", "EndpointSlice", "403")] >= 1
    assert found[sample("extsync_writes_total", "create", "EndpointSlice")] == 0
    assert found[sample("extsync_writes_total", "apply", "Service")] == 1


@virtual_time
async def test_a_cut_off_prober_is_told() -> None:
    rig = Rig()
    names = ["one", "two", "three"]
    addresses = {name: [f"192.0.2.{10 * number + last}" for last in range(4)] for number, name in enumerate(names, 1)}
    for some in addresses.values():
        rig.up(*some)
    async with rig.running(*(manifest(name, rack(*addresses[name])) for name in names)):
        await rig.until(lambda: all(rig.slices(name) == ready(*addresses[name]) for name in names), within=30.0)
        await rig.clock.sleep(30.0)
        for some in addresses.values():
            rig.down(*some)
        await rig.clock.sleep(60.0)
        found = await scraped(rig)
    assert found[sample("extsync_prober_isolated")] == 1
    assert [found[sample("extsync_service_isolated", name)] for name in names] == [1, 1, 1]


@virtual_time
async def test_a_service_that_is_gone_has_no_series() -> None:
    rig = Rig()
    async with rig.running(manifest("web", rack(A), checks=[])):
        await rig.until(rig.agree("web", ready(A)), within=10.0)
        assert sample("extsync_service_isolated", "web") in await scraped(rig)
        rig.manifests.put(manifest("other", rack(B), checks=[]))
        await rig.until(lambda: not rig.has_service("web"), within=120.0)
        await rig.clock.sleep(1.0)
        assert not [name for name in await scraped(rig) if "web" in name[1]]


@contextmanager
def counted() -> Iterator[list[Metric]]:
    """A family of more samples than one chunk has, and another."""
    large = GaugeMetricFamily("large", "Many.", labels=("number",))
    for number in range(2 * MOST_SAMPLES + 1):
        large.add_metric((str(number),), number)
    yield [large, GaugeMetricFamily("small", "One.", value=1)]


def test_many_samples_come_in_chunks_and_are_one_family_in_both_formats() -> None:
    with counted() as many:
        for accept, parse in (("", parsed), (OPENMETRICS, openmetrics.text_string_to_metric_families)):
            content_type, chunks = encode(many, accept)
            parts = list(chunks)
            assert content_type.startswith("application/openmetrics-text" if accept else "text/plain")
            assert len(parts) == (5 if accept else 4)
            read = {family.name: len(family.samples) for family in parse(b"".join(parts).decode())}
            assert read == {"large": 2 * MOST_SAMPLES + 1, "small": 1}


def test_what_labels_hold_is_escaped() -> None:
    family = GaugeMetricFamily("one", "One.", labels=("name",))
    family.add_metric(('a"b\\c\nd',), 1)
    _, chunks = encode([family], "")
    [read] = parsed(b"".join(chunks).decode())
    assert read.samples[0].labels == {"name": 'a"b\\c\nd'}

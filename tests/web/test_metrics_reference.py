"""docs/metrics.md has every metric as a scrape names, types and describes it, and no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from extsync.engine.options import Options
from extsync.seams.virtual import virtual_time
from extsync.web.catalogue import METRICS, OF_ENDPOINTS, OF_PROCESS, OF_SERVICES, Described
from extsync.web.exposition import encode
from extsync.web.lag import lags
from extsync.web.metrics import families
from tests.engine.support import NAMESPACE, A, Rig, manifest, rack, ready

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


def table(metrics: tuple[Described, ...]) -> str:
    rows = (f"| `{one.scraped_name}` | {one.kind} | {_labels(one)} | {one.text} |" for one in metrics)
    return "\n".join(("| metric | type | labels | meaning |", "|---|---|---|---|", *rows))


def _labels(one: Described) -> str:
    return " ".join(f"`{label}`" for label in one.labels)


@pytest.mark.parametrize(
    ("title", "metrics"), [("Services", OF_SERVICES), ("Endpoints", OF_ENDPOINTS), ("The process", OF_PROCESS)]
)
def test_the_page_is_the_catalogue(title: str, metrics: tuple[Described, ...]) -> None:
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    assert table(metrics) in section


@virtual_time
async def test_a_scrape_has_what_the_catalogue_describes_and_no_more() -> None:
    rig = Rig(options=Options(namespaces=(NAMESPACE,)))
    rig.up(A)

    async def pause() -> None:
        await rig.clock.sleep(0)

    async with rig.running(manifest("web", rack(A))):
        await rig.until(rig.agree("web", ready(A)), within=30.0)
        found = await families(rig.engine, lags(), pause, each_endpoint=True)
    _, chunks = encode(found, "")
    scraped = {family.name: family for family in parsed(b"".join(chunks).decode())}
    assert {family.name for family in found} == {one.name for one in METRICS}
    for one in METRICS:
        family = scraped[one.name + "_info" if one.kind == "info" else one.name]
        assert family.documentation == one.text
        assert family.type == ("gauge" if one.kind == "info" else one.kind)
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(one.labels)

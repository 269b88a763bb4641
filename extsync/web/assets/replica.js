// The process that answers: who leads, its shards, its probes.

import { h, patch } from "./dom.js";
import { badge, empty } from "./parts.js";
import { follow, known } from "./store.js";
import { count, plural, span } from "./words.js";

function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function leases(process) {
  if (!process.leases.length) return empty("There is one replica only: it writes for every service, and needs no Lease.");
  const head = h("tr", {}, ["Lease", "Held by", "This replica"].map((name) => h("th", { scope: "col" }, name)));
  const rows = process.leases.map((lease) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, lease.name),
      h("td", {}, lease.holder || "nobody"),
      h("td", {}, badge(lease.leads ? { icon: "ok", word: "Leads" } : { icon: "standby", word: "Stands by" })),
    ),
  );
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Leases" }, h("table", { class: "plain" }, h("thead", {}, head), h("tbody", {}, rows)));
}

export function show(main) {
  const headline = h("h1", {});
  const [about, probing, shards] = [h("div", {}), h("div", {}), h("div", {})];

  function draw() {
    const process = known.process;
    if (process === null) return;
    const leading = process.leases.filter((lease) => lease.leads).length;
    const all = process.leases.length;
    const part = all > 1 ? `${leading} of ${plural(all, "shard")}` : leading ? "every service" : "no service now";
    headline.textContent = all ? `This replica leads for ${part}` : "The only replica";
    patch(about, JSON.stringify([process.version, process.owner, process.instance, process.synced, process.services, process.queued, span(process.queueAgeSeconds)]), () =>
      facts([
        ["Version", process.version],
        ["Replica", process.instance],
        ["Owner id", process.owner],
        ["State", badge(process.synced ? { icon: "ok", word: "In step" } : { icon: "waiting", word: "Reading the cluster" })],
        ["Services", count(process.services)],
        ["Queue", process.queued ? `${count(process.queued)} for ${span(process.queueAgeSeconds)}` : "empty"],
      ]),
    );
    patch(shards, JSON.stringify(process.leases), () => leases(process));
    const rate = known.rates ? `${count(Math.round(known.rates.passed + known.rates.failed))} a second` : "…";
    patch(probing, JSON.stringify([process.probeTargets, process.probesPassed, process.probesFailed, process.probesSkipped, rate]), () =>
      facts([
        ["Endpoints probed", count(process.probeTargets)],
        ["Probes", rate],
        ["Passed", count(process.probesPassed)],
        ["Failed", count(process.probesFailed)],
        ["Skipped", count(process.probesSkipped)],
      ]),
    );
  }

  main.replaceChildren(
    h("section", { class: "hero" }, headline),
    h("section", { class: "panel" }, h("h2", {}, "Process"), about),
    h("section", { class: "panel" }, h("h2", {}, "Leader and shards"), shards),
    h("section", { class: "panel" }, h("h2", {}, "Probing"), probing),
  );
  draw();
  return { title: "Replica", close: follow(draw) };
}

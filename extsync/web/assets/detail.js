// One service: its endpoints with their history, its sources, and what happened.

import { h, icon, patch } from "./dom.js";
import { age, badge, empty, meter } from "./parts.js";
import { follow, known } from "./store.js";
import { forget, remember, strip } from "./strip.js";
import { card } from "./withheld.js";
import { STATES, clock, condition, count, latency, outcome, plural, setServerTime } from "./words.js";

const PAGE = 50; // endpoints with their probes that one answer has
const AGAIN = 3000;

const TOPICS = { manifest: "Manifest", source: "Source", endpoint: "Endpoint", notice: "Notice", write: "Write" };

export function show(main, namespace, name) {
  const id = `${namespace}/${name}`;
  const address = `api/v1/services/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`;
  const parts = Object.fromEntries(["head", "notices", "held", "endpoints", "pages", "sources", "aside", "timeline"].map((part) => [part, h("div", {})]));
  const open = new Set();
  let skip = 0;
  let closed = false;
  let timer = 0;
  let shownRow = null;

  async function load() {
    clearTimeout(timer);
    try {
      const answer = await fetch(`${address}?probes=true&skip=${skip}`, { cache: "no-store" });
      setServerTime(answer.headers.get("Date"));
      const document = await answer.json();
      if (closed) return;
      if (answer.ok) draw(document);
      else missing(document.error);
    } catch {
      // The stream says that the connection is lost; it is tried again all the same.
    }
    if (!closed) timer = setTimeout(load, AGAIN);
  }

  function missing(why) {
    for (const part of Object.values(parts)) patch(part, "missing", () => []);
    patch(parts.head, `missing ${why}`, () => [h("h1", {}, id), empty(why)]);
  }

  function draw(told) {
    const service = { ...told.summary, id, total: told.summary.ready + told.summary.notReady + told.summary.draining };
    drawHead(service);
    const ofHeld = (line) => service.suppressed && line.includes(service.suppressed.hash);
    const notices = told.notices.filter((line) => !ofHeld(line));
    patch(parts.notices, JSON.stringify(notices), () => (notices.length ? h("ul", { class: "notices" }, notices.map((line) => h("li", {}, icon("degraded"), h("span", {}, line)))) : []));
    const more = told.notices.filter((line) => ofHeld(line) && line !== service.suppressed.text);
    patch(parts.held, JSON.stringify([service.suppressed, more]), () => (service.suppressed ? card(service, false, more) : []));
    drawEndpoints(told.endpoints);
    drawPages(told);
    patch(parts.sources, JSON.stringify(service.sources.map((one) => ({ ...one, ageSeconds: null, lastErrorAgeSeconds: null, at: Math.round((one.ageSeconds ?? 0) / 5) }))), () => sources(service.sources));
    patch(parts.aside, JSON.stringify(told.setAside), () => aside(told.setAside));
    patch(parts.timeline, JSON.stringify(told.journal), () => timeline(told.journal));
  }

  function drawHead(service) {
    patch(parts.head, JSON.stringify([service.ready, service.notReady, service.draining, service.leads, service.isolated]), () => {
      const state = condition(service);
      const numbers = [["ok", "Ready", service.ready], ["down", "Not ready", service.notReady], ["draining", "Draining", service.draining]];
      return [
        h("p", { class: "crumb" }, h("a", { href: "#/services" }, icon("back"), "Services")),
        h("div", { class: "title" }, h("h1", {}, h("span", { class: "ns" }, `${namespace} /`), " ", name), badge(state, "large"), service.leads ? null : badge({ icon: "standby", word: "Another replica writes" }, "chip")),
        h("dl", { class: "sums" }, numbers.map(([kind, word, number]) => h("div", { class: number ? kind : "none" }, h("dt", {}, badge({ icon: kind, word })), h("dd", {}, count(number))))),
        meter(service),
      ];
    });
  }

  // ---- endpoints ---------------------------------------------------------------------------------------------------

  const rows = new Map();
  const head = h("tr", {}, ["Endpoint", "State", "Checks", "From"].map((word) => h("th", { scope: "col" }, word)));
  const body = h("tbody", {});
  const table = h("table", { class: "endpoints" }, h("thead", {}, head), body);

  function drawEndpoints(endpoints) {
    patch(parts.endpoints, endpoints.length > 0, () => (endpoints.length ? table : empty("It has no endpoints: no source names a backend.")));
    const most = scale(endpoints);
    const wanted = new Set();
    for (const [place, endpoint] of endpoints.entries()) {
      const key = `${endpoint.address} ${endpoint.ports.map((port) => `${port.name}:${port.port}`).join(" ")} ${endpoint.source} ${endpoint.tier}`;
      wanted.add(key);
      const row = rows.get(key) ?? newRow(key);
      rows.set(key, row);
      drawEndpoint(row, endpoint, key, most);
      if (body.children[2 * place] !== row.element) {
        body.insertBefore(row.element, body.children[2 * place] ?? null);
        body.insertBefore(row.more, row.element.nextSibling);
      }
    }
    for (const [key, row] of rows) {
      if (!wanted.has(key)) {
        row.element.remove();
        row.more.remove();
        rows.delete(key);
      }
    }
  }

  function newRow(key) {
    const [what, state, checks, from, evidence] = [h("th", { scope: "row" }), h("td", {}), h("td", { class: "checks" }), h("td", { class: "from" }), h("td", { colspan: "4" })];
    const number = (shownRow = (shownRow ?? 0) + 1);
    const text = h("span", {});
    const button = h("button", { type: "button", class: "more", "aria-expanded": String(open.has(key)), "aria-controls": `more-${number}` }, icon("go"), text);
    what.append(button);
    const more = h("tr", { class: "evidence", id: `more-${number}`, hidden: !open.has(key) }, evidence);
    button.addEventListener("click", () => {
      if (!open.delete(key)) open.add(key);
      button.setAttribute("aria-expanded", String(open.has(key)));
      more.hidden = !open.has(key);
    });
    return { element: h("tr", {}, what, state, checks, from), more, text, state, checks, from, evidence };
  }

  function drawEndpoint(row, endpoint, key, most) {
    const ports = endpoint.ports.map((port) => port.port).join(", ");
    const host = endpoint.address.includes(":") ? `[${endpoint.address}]` : endpoint.address;
    patch(row.text, `${host} ${ports} ${endpoint.hostname}`, () => [h("code", {}, `${host}:${ports}`), endpoint.hostname ? h("span", { class: "sub" }, endpoint.hostname) : null]);
    patch(row.state, JSON.stringify([endpoint.state, endpoint.reason, endpoint.standby, endpoint.verdict?.since]), () => {
      const state = STATES[endpoint.state] ?? { icon: "waiting", word: endpoint.state };
      return [badge(state), endpoint.standby ? badge({ icon: "standby", word: "Standby tier" }, "chip") : null, h("span", { class: "sub" }, endpoint.reason, endpoint.verdict?.since ? [", since ", age(endpoint.verdict.since)] : null)];
    });
    patch(row.from, JSON.stringify([endpoint.source, endpoint.tier, endpoint.group, endpoint.zone, endpoint.nodeName]), () => {
      const where = [endpoint.zone && `zone ${endpoint.zone}`, endpoint.nodeName && `node ${endpoint.nodeName}`, endpoint.group && `group ${endpoint.group}`].filter(Boolean);
      return [h("span", {}, endpoint.source), h("span", { class: "sub" }, where.join(", "))];
    });
    const probes = (endpoint.probes ?? []).map((probe) => ({ ...probe, results: remember(`${key} ${probe.check}`, probe.results) }));
    patch(row.checks, JSON.stringify([most, probes.map((probe) => probe.results.at(-1))]), () => (probes.length ? probes.map((probe) => checkLine(probe, most)) : h("span", { class: "sub" }, "not probed")));
    patch(row.evidence, JSON.stringify(probes), () => evidence(probes));
  }

  function checkLine(probe, most) {
    const last = probe.results.at(-1);
    return h("span", { class: "check" }, strip(probe.results, most), h("span", { class: "latency" }, last ? latency(last.latencySeconds) : "–"));
  }

  function drawPages(told) {
    const shown = told.endpoints.length;
    const all = shown + told.omitted;
    patch(parts.pages, `${skip} ${shown} ${all}`, () => {
      if (all <= PAGE) return [];
      const to = (where, word) => h("button", { type: "button", disabled: where < 0 || where >= all, on: { click: () => turn(where) } }, word);
      return h("nav", { class: "pages", "aria-label": "Endpoints" }, to(skip - PAGE, "Before"), h("span", { role: "status" }, `${count(skip + 1)} to ${count(skip + shown)} of ${plural(all, "endpoint")}`), to(skip + PAGE, "Next"));
    });
  }

  function turn(where) {
    skip = where;
    load();
  }

  const panel = (title, ...content) => h("section", { class: "panel" }, h("h2", {}, title), ...content);
  main.replaceChildren(
    h("section", { class: "hero" }, parts.head, parts.notices, parts.held),
    panel("Endpoints", parts.endpoints, parts.pages),
    h("div", { class: "sides" }, h("div", {}, panel("Sources", parts.sources), parts.aside), panel("Timeline", parts.timeline)),
  );
  patch(parts.head, "loading", () => [h("p", { class: "crumb" }, h("a", { href: "#/services" }, icon("back"), "Services")), h("h1", {}, h("span", { class: "ns" }, `${namespace} /`), " ", name)]);
  load();
  let seen = known.services.get(id);
  const leave = follow(() => {
    const now = known.services.get(id);
    if (now !== seen) {
      seen = now;
      load();
    }
  });
  return {
    title: id,
    close() {
      closed = true;
      clearTimeout(timer);
      leave();
      forget();
    },
  };
}

/** Seconds of the highest bar, for all strips: what nine of ten results stay below, in steps, so that it seldom changes. */
function scale(endpoints) {
  const took = endpoints.flatMap((endpoint) => (endpoint.probes ?? []).flatMap((probe) => probe.results.map((one) => one.latencySeconds)));
  const usual = took.sort((a, b) => a - b)[Math.floor(took.length * 0.9)] ?? 0;
  return 10 ** (Math.ceil(Math.log10(Math.max(0.0005, usual)) * 4) / 4);
}

function evidence(probes) {
  if (!probes.length) return empty("Nothing checks it, or its probes could not be asked just now.");
  return probes.map((probe) =>
    h(
      "div",
      { class: "probe" },
      h("p", {}, h("strong", {}, probe.check), ` ${probe.health}: ${probe.reason || "no result yet"}. `, h("span", { class: "sub" }, `${plural(probe.passed, "pass", "passes")}, ${plural(probe.failed, "failure")}, ${count(probe.skipped)} skipped`)),
      probe.note ? h("p", { class: "sub" }, probe.note) : null,
      probe.changes.length ? h("ol", { class: "changes" }, [...probe.changes].reverse().map((one) => h("li", {}, h("time", { datetime: one.at }, clock(one.at)), ` became ${one.health}: ${one.reason}`))) : null,
      h("ol", { class: "results" }, [...probe.results].reverse().slice(0, 8).map((one) => h("li", { class: one.failure === null ? "" : "failed" }, h("time", { datetime: one.at }, clock(one.at)), ` ${one.failure === null ? "passed" : `failed: ${one.failure}`} (${latency(one.latencySeconds)})`))),
    ),
  );
}

function sources(all) {
  return h(
    "ul",
    { class: "sources" },
    all.map((source) => {
      const failing = source.stale || source.outcome === "error";
      const good = source.ageSeconds === null ? ["no good answer yet"] : ["good answer ", age(new Date(Date.now() - source.ageSeconds * 1000).toISOString())];
      const error = failing ? source.detail || source.lastError : source.lastError;
      return h(
        "li",
        {},
        h("p", {}, h("strong", {}, source.name), " ", badge(outcome(source))),
        h("p", { class: "sub" }, plural(source.backends, "backend"), ", ", ...good),
        error ? h("p", { class: failing ? "error" : "sub" }, failing ? "Last error: " : "Last error, over now: ", error) : null,
      );
    }),
  );
}

function aside(all) {
  if (!all.length) return [];
  return h("section", { class: "panel" }, h("h2", {}, "Set aside"), h("ul", { class: "aside" }, all.map((one) => h("li", {}, h("code", {}, one.entry), h("span", { class: "sub" }, `${one.source}: ${one.reason}`)))));
}

function timeline(journal) {
  if (!journal.length) return empty("Nothing has happened yet.");
  return h(
    "ol",
    { class: "timeline" },
    [...journal].reverse().map((entry) =>
      h("li", { class: entry.topic }, h("span", { class: "when" }, h("time", { datetime: entry.at }, clock(entry.at)), h("span", { class: "topic" }, TOPICS[entry.topic] ?? entry.topic)), h("span", { class: "what" }, entry.text)),
    ),
  );
}

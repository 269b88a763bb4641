// All services: what needs attention first, with search and filters.

import { h, patch } from "./dom.js";
import { badge, empty, meter, path, remarks } from "./parts.js";
import { FILTERS, follow, known, selected, totals } from "./store.js";
import { RowTable } from "./table.js";
import { count, plural } from "./words.js";

const wish = { filter: "all", namespace: "", search: "" }; // stays when the view is left

const COLUMNS = [
  { name: "Service", class: "name" },
  { name: "State", class: "state" },
  { name: "Ready", class: "number" },
  { name: "Endpoints", class: "bar" },
  { name: "To know", class: "notes" },
];

function cells(service) {
  const leases = known.process?.leases.length > 0;
  const name = h("a", { href: path(service) }, h("span", { class: "ns" }, `${service.namespace} /`), " ", h("strong", {}, service.name));
  return [
    name,
    badge(service.state),
    h("span", {}, h("strong", {}, count(service.ready)), h("span", { class: "of" }, ` of ${count(service.total)}`)),
    meter(service),
    h("span", { class: "chips" }, ...remarks(service, leases)),
  ];
}

export function show(main) {
  const tools = h("div", { class: "tools" });
  const table = new RowTable({ label: "Services", columns: COLUMNS, cells, tools });
  const headline = h("h1", {});
  const sums = h("dl", { class: "sums" });
  const filters = h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, "Which services"));
  const search = h("input", {
    type: "search", id: "search", placeholder: "Search services", "aria-label": "Search services by namespace and name",
    "aria-keyshortcuts": "/", autocomplete: "off", spellcheck: "false", value: wish.search,
  });
  const namespaces = h("select", { "aria-label": "Namespace" });
  const shown = h("p", { class: "shown", role: "status" });
  const nothing = empty("No service is like that.");

  search.addEventListener("input", () => choose({ search: search.value }));
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" && table.items.length) {
      event.preventDefault();
      table.go(table.places.get(table.active) ?? 0);
    }
  });
  namespaces.addEventListener("change", () => choose({ namespace: namespaces.value }));
  filters.addEventListener("change", (event) => choose({ filter: event.target.value }));
  for (const [name, { word }] of Object.entries(FILTERS)) {
    const input = h("input", { type: "radio", name: "filter", value: name, checked: wish.filter === name });
    filters.append(h("label", {}, input, h("span", {}, word, h("span", { class: "count", "data-filter": name }))));
  }

  function choose(change) {
    Object.assign(wish, change);
    window.scrollTo(0, Math.min(window.scrollY, tools.offsetTop));
    draw();
  }

  function draw() {
    const sum = totals();
    patch(headline, `${sum.services} ${sum.attention} ${known.complete}`, () => headlineOf(sum));
    patch(sums, JSON.stringify(sum), () => sumsOf(sum));
    patch(namespaces, namespaceNames().join("\n"), () => [
      h("option", { value: "" }, "All namespaces"),
      ...namespaceNames().map((name) => h("option", { value: name, selected: name === wish.namespace }, name)),
    ]);
    for (const element of filters.querySelectorAll("[data-filter]")) {
      const number = filterCounts()[element.dataset.filter];
      patch(element, number, () => [count(number)]);
    }
    const items = selected(wish);
    patch(shown, `${items.length} ${sum.services}`, () => [
      items.length === sum.services ? plural(items.length, "service") : `${count(items.length)} of ${plural(sum.services, "service")}`,
    ]);
    nothing.hidden = items.length > 0 || !known.complete;
    nothing.textContent = sum.services ? "No service is like that." : "No manifest names a service yet.";
    table.show(items);
  }

  let counted = null;
  let countedAt = 0;
  function filterCounts() {
    if (counted === null || performance.now() - countedAt > 100) {
      countedAt = performance.now();
      counted = Object.fromEntries(Object.keys(FILTERS).map((name) => [name, 0]));
      for (const service of known.services.values()) {
        for (const [name, { test }] of Object.entries(FILTERS)) counted[name] += test(service);
      }
    }
    return counted;
  }

  tools.append(h("div", { class: "tool-row" }, search, namespaces, shown), filters);
  main.replaceChildren(h("section", { class: "hero" }, headline, sums), tools, table.element, nothing);
  draw();
  const leave = follow(draw);
  return {
    title: "Services",
    close() {
      leave();
      table.close();
    },
    focusSearch() {
      search.focus();
      search.select();
    },
  };
}

function namespaceNames() {
  return [...new Set([...known.services.values()].map((service) => service.namespace))].sort();
}

function headlineOf(sum) {
  if (!sum.services) return [known.complete ? "No services yet" : "Reading …"];
  if (!sum.attention) return [`${plural(sum.services, "service")}, all well`];
  const need = sum.attention === 1 ? "needs attention" : "need attention";
  return [h("em", {}, plural(sum.attention, "service")), ` of ${count(sum.services)} ${need}`];
}

function sumsOf(sum) {
  const parts = [
    ["ok", "Ready", sum.ready],
    ["down", "Not ready", sum.notReady],
    ["draining", "Draining", sum.draining],
    ["degraded", "Sources in trouble", sum.troubled],
    ["held", "Withheld changes", sum.withheld],
  ];
  return parts.map(([name, word, number]) =>
    h("div", { class: number ? name : "none" }, h("dt", {}, badge({ icon: name, word })), h("dd", {}, count(number))),
  );
}

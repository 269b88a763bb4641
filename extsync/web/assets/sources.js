// Every source of every service: those in trouble first.

import { h } from "./dom.js";
import { age, badge, empty, path } from "./parts.js";
import { follow, known } from "./store.js";
import { RowTable } from "./table.js";
import { count, outcome, plural } from "./words.js";

const COLUMNS = [
  { name: "Source", class: "name" },
  { name: "Latest report", class: "state" },
  { name: "Backends", class: "number" },
  { name: "Good answer", class: "age" },
  { name: "Last error", class: "notes" },
];

function cells(item) {
  const { service, source } = item;
  const name = h("a", { href: path(service) }, h("span", { class: "ns" }, `${service.id} /`), " ", h("strong", {}, source.name));
  const failing = source.stale || source.outcome === "error" || source.outcome === "suspect";
  const error = failing ? source.detail || source.lastError : source.lastError;
  return [
    name,
    badge(outcome(source)),
    h("strong", {}, count(source.backends)),
    source.goodAt ? age(source.goodAt) : "never",
    error ? h("span", { class: failing ? "error" : "past", title: error }, source.lastErrorAt ? age(source.lastErrorAt) : null, " ", error) : h("span", { class: "past" }, "none"),
  ];
}

export function show(main) {
  const tools = h("div", { class: "tools" });
  const table = new RowTable({ label: "Sources", columns: COLUMNS, cells, tools, kind: "wide" });
  const headline = h("h1", {});
  const search = h("input", { type: "search", placeholder: "Search sources", "aria-label": "Search sources by service, name and error", autocomplete: "off", spellcheck: "false" });
  const shown = h("p", { class: "shown", role: "status" });
  const nothing = empty("No source is like that.");
  let made = new Map();

  function items() {
    const found = [];
    const before = made;
    made = new Map();
    for (const service of known.services.values()) {
      for (const source of service.sources) {
        const id = `${service.id}/${source.name}`;
        const old = before.get(id);
        const item = old?.source === source ? old : { id, service, source, weight: service.troubled.includes(source) ? 1 : 0 };
        made.set(id, item);
        found.push(item);
      }
    }
    return found;
  }

  function draw() {
    const all = items();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (item) => `${item.id} ${item.source.outcome} ${item.source.detail} ${item.source.lastError}`.toLowerCase();
    const wanted = words.length ? all.filter((item) => words.every((word) => text(item).includes(word))) : all;
    wanted.sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1));
    const troubled = all.filter((item) => item.weight).length;
    headline.replaceChildren(
      ...(troubled ? [h("em", {}, plural(troubled, "source")), ` of ${count(all.length)} ${troubled === 1 ? "is" : "are"} in trouble`] : [`${plural(all.length, "source")}, all well`]),
    );
    shown.textContent = wanted.length === all.length ? plural(all.length, "source") : `${count(wanted.length)} of ${plural(all.length, "source")}`;
    nothing.hidden = wanted.length > 0;
    table.show(wanted);
  }

  search.addEventListener("input", draw);
  const lead = h("p", { class: "lead" }, "While a source is in trouble its last good set of backends stays.");
  tools.append(h("div", { class: "tool-row" }, search, shown));
  main.replaceChildren(
    h("section", { class: "hero" }, headline, lead),
    tools,
    table.element,
    nothing,
  );
  draw();
  const leave = follow(draw);
  return {
    title: "Sources",
    close() {
      leave();
      table.close();
    },
    focusSearch: () => search.focus(),
  };
}

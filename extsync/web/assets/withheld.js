// What the guard withholds, of all services.

import { h, icon, patch } from "./dom.js";
import { age, empty, path } from "./parts.js";
import { follow, known } from "./store.js";
import { clock, plural } from "./words.js";

const MOST = 200;

/** One withheld removal: what it is, until when, and the command that lets it go; `more` are further lines on it. */
export function card(service, linked, more = []) {
  const held = service.suppressed;
  const name = linked ? h("h2", {}, h("a", { href: path(service) }, h("span", { class: "ns" }, `${service.namespace} /`), " ", service.name)) : null;
  const until = held.until ? ["until ", h("time", { datetime: held.until }, clock(held.until))] : ["for as long as a source is in trouble"];
  const command = `kubectl annotate service --namespace ${service.namespace} ${service.name} --overwrite extsync.dev/allow-removal=${held.hash}`;
  return h(
    "article",
    { class: "held-card" },
    name,
    h("p", { class: "amount" }, icon("held"), h("span", {}, h("strong", {}, `The removal of ${plural(held.endpoints, "endpoint")} is withheld`), " since ", age(held.since), ", ", ...until, ".")),
    h("p", {}, held.text),
    more.map((line) => h("p", { class: "sub" }, line)),
    h("p", { class: "cure" }, "To let it through now:", h("code", { tabindex: "0" }, command)),
  );
}

export function show(main) {
  const headline = h("h1", {});
  const list = h("div", { class: "cards" });

  function draw() {
    const found = [...known.services.values()].filter((service) => service.suppressed).sort((a, b) => (a.id < b.id ? -1 : 1));
    headline.textContent = found.length ? `${plural(found.length, "change")} withheld` : "Nothing is withheld";
    patch(list, JSON.stringify(found.map((service) => [service.id, service.suppressed])), () =>
      found.length
        ? [...found.slice(0, MOST).map((service) => card(service, true)), found.length > MOST && empty(`and ${found.length - MOST} more`)]
        : [empty("The guard holds back a removal that looks like an accident. It would be shown here.")],
    );
  }

  main.replaceChildren(h("section", { class: "hero" }, headline), list);
  draw();
  return { title: "Withheld", close: follow(draw) };
}

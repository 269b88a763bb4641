// Small parts that several views have.

import { h, icon } from "./dom.js";
import { ago, clock, count } from "./words.js";

/** An icon with the word for it. */
export const badge = (state, more = "") => h("span", { class: `badge ${state.icon} ${more}` }, icon(state.icon), state.word);

/** A time as an age, which is kept up to date. */
export const age = (time) => h("time", { datetime: time, title: clock(time), "data-ago": true }, ago(time));

export function refreshAges() {
  for (const element of document.querySelectorAll("time[data-ago]")) {
    const text = ago(element.dateTime);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** Ready, not ready and draining in proportion, with a pattern each; the numbers beside it say the same. */
export function meter(service) {
  const total = Math.max(1, service.total);
  const bar = h("span", { class: "meter", "aria-hidden": "true" });
  for (const [name, number] of [["ready", service.ready], ["draining", service.draining], ["down", service.notReady]]) {
    if (!number) continue;
    const part = h("span", { class: name });
    part.style.flexGrow = number / total;
    bar.append(part);
  }
  return bar;
}

/** What else there is to know of a service, in a few words each. */
export function remarks(service, leases) {
  const found = [];
  if (service.suppressed) found.push(badge({ icon: "held", word: `${count(service.suppressed.endpoints)} withheld` }, "chip"));
  if (service.isolated) found.push(badge({ icon: "degraded", word: "Checks not believed" }, "chip"));
  for (const source of service.troubled.slice(0, 2)) {
    const failing = source.outcome === "suspect" ? "is suspect" : "fails";
    found.push(badge({ icon: "degraded", word: `Source ${source.name} ${failing}` }, "chip"));
  }
  if (service.draining) found.push(badge({ icon: "draining", word: `${count(service.draining)} draining` }, "chip"));
  if (leases && !service.leads) found.push(badge({ icon: "standby", word: "Standby" }, "chip"));
  return found;
}

export const path = (service) => `#/services/${encodeURIComponent(service.namespace)}/${encodeURIComponent(service.name)}`;

export const empty = (...text) => h("p", { class: "empty" }, ...text);

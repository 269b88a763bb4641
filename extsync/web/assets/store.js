// What is known: every service by name, and the process. Views are told at most a few times a second.

import { condition } from "./words.js";

const PAUSE = 150; // milliseconds between two tellings, at least

export const known = {
  services: new Map(),
  process: null,
  rates: null, // probes a second, by result
  complete: false,
  live: "connecting",
  lostAt: null,
};

const listeners = new Set();
let waiting = false;
let toldAt = 0;

/** Calls `listener` after changes; returns what ends that. */
export function follow(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed() {
  if (waiting) return;
  waiting = true;
  const wait = Math.max(0, toldAt + PAUSE - performance.now());
  setTimeout(() => {
    waiting = false;
    toldAt = performance.now();
    for (const listener of [...listeners]) listener();
  }, wait);
}

export function takeServices(event) {
  if (event.first) known.services.clear();
  for (const item of event.items) {
    const service = derived(item);
    known.services.set(service.id, service);
  }
  for (const id of event.gone) known.services.delete(id);
  known.complete = event.complete || (known.complete && !event.first);
  changed();
}

export function takeProcess(process) {
  const now = performance.now();
  const before = known.process;
  if (before !== null) {
    const seconds = (now - known.processAt) / 1000;
    const rate = (name) => Math.max(0, (process[name] - before[name]) / seconds);
    known.rates = { passed: rate("probesPassed"), failed: rate("probesFailed"), skipped: rate("probesSkipped") };
  }
  known.process = process;
  known.processAt = now;
  changed();
}

export function takeLive(state) {
  if (state !== "live" && known.live === "live") known.lostAt = new Date().toISOString();
  if (state === "live") known.lostAt = null;
  known.live = state;
  changed();
}

function derived(item) {
  const state = condition(item);
  const troubled = item.sources.filter((source) => source.stale || source.outcome === "error" || source.outcome === "suspect");
  return {
    ...item,
    id: `${item.namespace}/${item.name}`,
    total: item.ready + item.notReady + item.draining,
    state,
    troubled,
    weight: Math.max(state.weight, item.suppressed || troubled.length || item.isolated ? 2 : 0),
  };
}

/** Which services a filter lets through; the first is the default. */
export const FILTERS = {
  all: { word: "All", test: () => true },
  attention: { word: "Attention", test: (service) => service.weight >= 2 },
  notready: { word: "Not ready", test: (service) => service.notReady > 0 || service.ready === 0 },
  draining: { word: "Draining", test: (service) => service.draining > 0 },
  withheld: { word: "Withheld", test: (service) => service.suppressed !== null },
  sources: { word: "Source trouble", test: (service) => service.troubled.length > 0 },
};

/** Services that a filter, a namespace and every word of a search let through, those that matter most first. */
export function selected({ filter, namespace, search }) {
  const words = search.toLowerCase().split(/\s+/).filter(Boolean);
  const test = (FILTERS[filter] ?? FILTERS.all).test;
  const found = [];
  for (const service of known.services.values()) {
    if (namespace && service.namespace !== namespace) continue;
    if (test(service) && words.every((word) => service.id.toLowerCase().includes(word))) found.push(service);
  }
  return found.sort((a, b) => b.weight - a.weight || (a.id < b.id ? -1 : 1));
}

/** Sums over all services. */
export function totals() {
  const sum = { services: known.services.size, attention: 0, ready: 0, notReady: 0, draining: 0, withheld: 0, sources: 0, troubled: 0 };
  for (const service of known.services.values()) {
    sum.ready += service.ready;
    sum.notReady += service.notReady;
    sum.draining += service.draining;
    sum.attention += service.weight >= 2;
    sum.withheld += service.suppressed !== null;
    sum.sources += service.sources.length;
    sum.troubled += service.troubled.length;
  }
  return sum;
}

// The latest results of a check as a strip: a bar each, as high as it took long; a failure is a cross, not just red.

import { h } from "./dom.js";
import { clock, latency, plural } from "./words.js";

const MOST = 24;
const histories = new Map();

/** Adds `results` to what was seen of this check before, so that a strip grows for as long as it is looked at. */
export function remember(id, results) {
  const seen = histories.get(id) ?? [];
  const last = seen.length ? seen[seen.length - 1].at : "";
  const now = [...seen, ...results.filter((one) => one.at > last)].slice(-MOST);
  histories.set(id, now);
  return now;
}

export const forget = () => histories.clear();

/** In words what a strip shows. */
export function words(results) {
  if (!results.length) return "no result yet";
  const failed = results.filter((one) => one.failure !== null).length;
  const last = results[results.length - 1];
  const all = failed ? `${failed} of the last ${results.length} failed` : `the last ${plural(results.length, "result")} passed`;
  return `${all}; the latest took ${latency(last.latencySeconds)}`;
}

/** The strip of `results`; a bar of full height took `most` seconds or more. */
export function strip(results, most) {
  const bars = results.map((one) => {
    const failed = one.failure !== null;
    const bar = h("span", { class: failed ? "bar failed" : "bar", title: `${clock(one.at)}: ${failed ? one.failure : "passed"}, ${latency(one.latencySeconds)}` });
    if (!failed) bar.style.height = `${Math.round(14 + 86 * Math.sqrt(Math.min(1, one.latencySeconds / most)))}%`;
    return bar;
  });
  const blanks = Array.from({ length: Math.max(0, MOST - bars.length) }, () => h("span", { class: "bar blank" }));
  return h("span", { class: "strip", role: "img", "aria-label": words(results) }, blanks, bars);
}

// Numbers, times and states in words.

const number = new Intl.NumberFormat("en");
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTime = new Intl.DateTimeFormat("en-GB", {
  day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

let skew = 0;

/** Takes the server's clock (the header Date) for right: ages are counted by it. */
export function setServerTime(date) {
  const told = Date.parse(date);
  if (!Number.isNaN(told) && Math.abs(Date.now() - told) > 2000) skew = Date.now() - told;
}

export const count = (value) => number.format(value);

export const plural = (value, one, many = `${one}s`) => `${count(value)} ${value === 1 ? one : many}`;

export function ago(time) {
  const seconds = Math.max(0, Math.round((Date.now() - skew - Date.parse(time)) / 1000));
  return seconds < 1 ? "now" : `${span(seconds)} ago`;
}

export function span(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** The time of day, with the date where it was not today. */
export function clock(time) {
  const at = new Date(time);
  return (new Date().toDateString() === at.toDateString() ? clockTime : dayTime).format(at);
}

export function latency(seconds) {
  if (seconds < 0.001) return `${(seconds * 1000).toFixed(2)} ms`;
  if (seconds < 0.01) return `${(seconds * 1000).toFixed(1)} ms`;
  return seconds < 1 ? `${Math.round(seconds * 1000)} ms` : `${seconds.toFixed(1)} s`;
}

/** How a service is: the name of its icon, what to call it, and how much it matters (0: all is well). */
export function condition(service) {
  const total = service.ready + service.notReady + service.draining;
  if (total === 0) {
    const reported = service.sources.some((source) => source.outcome !== null);
    return reported ? { icon: "down", word: "Empty", weight: 4 } : { icon: "waiting", word: "Waiting", weight: 1 };
  }
  if (service.ready === 0) return { icon: "down", word: "None ready", weight: 5 };
  if (service.notReady > 0) return { icon: "degraded", word: "Degraded", weight: 3 };
  if (service.draining > 0) return { icon: "draining", word: "Draining", weight: 1 };
  return { icon: "ok", word: "Ready", weight: 0 };
}

export const STATES = {
  Ready: { icon: "ok", word: "Ready" },
  NotReady: { icon: "down", word: "Not ready" },
  Draining: { icon: "draining", word: "Draining" },
};

export const OUTCOMES = {
  found: { icon: "ok", word: "Found" },
  empty: { icon: "waiting", word: "Empty" },
  gone: { icon: "waiting", word: "Gone" },
  suspect: { icon: "degraded", word: "Suspect" },
  error: { icon: "down", word: "Fails" },
};

export const outcome = (source) => OUTCOMES[source.outcome] ?? { icon: "waiting", word: "Not heard yet" };

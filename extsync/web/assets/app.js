// The frame of the page: which view is shown, the state of the connection, light and dark.

import * as detail from "./detail.js";
import { h, icon, patch } from "./dom.js";
import { refreshAges } from "./parts.js";
import * as replica from "./replica.js";
import * as services from "./services.js";
import * as sources from "./sources.js";
import { follow, known, takeLive, takeProcess, takeServices, totals } from "./store.js";
import { connect } from "./stream.js";
import * as withheld from "./withheld.js";
import { ago, count, setServerTime } from "./words.js";

const VIEWS = { services: ["Services", services], sources: ["Sources", sources], withheld: ["Withheld", withheld], replica: ["Replica", replica] };
const THEMES = { system: "Auto", light: "Light", dark: "Dark" };

const main = document.getElementById("main");
const views = document.getElementById("views");
const live = document.getElementById("live");
const alerts = document.getElementById("alerts");
const foot = document.getElementById("foot");
let view = null;
let scrolled = 0;

// ---- views ---------------------------------------------------------------------------------------------------------

function place() {
  try {
    return location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  } catch {
    return []; // a % that stands for nothing
  }
}

function route(event) {
  const [name, namespace, service] = place();
  const one = name === "services" && namespace && service;
  const chosen = VIEWS[name] ? name : "services";
  if (view?.name === "services") scrolled = window.scrollY;
  view?.close();
  view = one ? detail.show(main, namespace, service) : VIEWS[chosen][1].show(main);
  view.name = one ? "detail" : chosen;
  document.title = `${view.title} · extsync`;
  for (const link of views.querySelectorAll("a")) {
    if (link.dataset.view === chosen) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  window.scrollTo(0, view.name === "services" ? scrolled : 0);
  if (event) main.focus({ preventScroll: true });
}

views.append(h("ul", {}, Object.entries(VIEWS).map(([name, [word]]) => h("li", {}, h("a", { href: `#/${name}`, "data-view": name }, word, h("span", { class: "count" }))))));

function drawFrame() {
  const sum = totals();
  const numbers = { services: sum.attention, sources: sum.troubled, withheld: sum.withheld, replica: 0 };
  for (const link of views.querySelectorAll("a")) {
    const number = numbers[link.dataset.view];
    patch(link.lastChild, number, () => (number ? [count(number), h("span", { class: "unseen" }, " need attention")] : []));
  }
  const words = { live: "Live", lost: "Reconnecting …", paused: "Paused", connecting: "Connecting …" };
  live.dataset.state = known.live;
  patch(live, known.live, () => [h("span", { class: "pulse", "aria-hidden": "true" }), words[known.live]]);
  drawAlerts();
  const process = known.process;
  if (process) {
    patch(foot, `${process.version} ${process.instance} ${process.owner}`, () => [`extsync ${process.version}`, h("span", {}, process.instance), h("span", {}, `owner ${process.owner}`), h("a", { href: "api/v1/openapi.json" }, "API"), h("a", { href: "metrics" }, "Metrics")]);
  }
}

function drawAlerts() {
  const lost = known.lostAt && known.live === "lost" ? known.lostAt : "";
  const isolated = known.process?.isolated ?? "";
  const reading = known.process && !known.process.synced;
  patch(alerts, JSON.stringify([lost, isolated, reading]), () => [
    lost && h("p", { class: "alert", role: "alert" }, icon("degraded"), h("span", {}, "The connection to extsync is lost. What you see is from ", h("time", { datetime: lost, "data-ago": true }, ago(lost)), ".")),
    isolated && h("p", { class: "alert", role: "alert" }, icon("degraded"), h("span", {}, "extsync takes itself to be cut off, and believes no failing check: ", isolated)),
    reading && h("p", { class: "alert calm", role: "status" }, icon("waiting"), h("span", {}, "extsync is still reading the cluster and the manifests.")),
  ]);
}

// ---- light and dark ------------------------------------------------------------------------------------------------

const theme = document.getElementById("theme");

function stored() {
  try {
    return localStorage.getItem("extsync-theme") ?? "system";
  } catch {
    return "system";
  }
}

function setTheme(name) {
  const chosen = THEMES[name] ? name : "system";
  document.documentElement.dataset.theme = chosen;
  theme.textContent = THEMES[chosen];
  theme.setAttribute("aria-label", `Theme: ${THEMES[chosen]}`);
  try {
    localStorage.setItem("extsync-theme", chosen);
  } catch {
    // It holds until the page is closed.
  }
}

theme.addEventListener("click", () => {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme) + 1) % names.length]);
});

// ---- the start -----------------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input, select, textarea");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && view?.focusSearch) {
    event.preventDefault();
    view.focusSearch();
  } else if (event.key === "Escape" && view?.name === "detail") {
    location.hash = "#/services";
  }
});

setTheme(stored());
window.addEventListener("hashchange", route);
route();
follow(drawFrame);
drawFrame();
setInterval(refreshAges, 1000);
connect({ process: takeProcess, services: takeServices, state: takeLive });
fetch("api/v1/status", { method: "HEAD", cache: "no-store" }).then((answer) => setServerTime(answer.headers.get("Date")), () => {});

// The stream of events: kept up while somebody looks at the page, and begun again where it breaks off.

const SILENCE = 10_000; // the process is told of every second: after this, whoever should speak is gone
const SOONEST = 500;
const LATEST = 10_000;

/** Calls `on.process` and `on.services` with each event, and `on.state` with "live", "lost" or "paused". */
export function connect(on) {
  let source = null;
  let last = "";
  let wait = SOONEST;
  let again = 0;
  let watchdog = 0;

  function open() {
    close();
    source = new EventSource(`api/v1/events?after=${encodeURIComponent(last)}`);
    source.addEventListener("process", (event) => heard(event, on.process));
    source.addEventListener("services", (event) => heard(event, on.services));
    source.addEventListener("error", lost);
    watch();
  }

  function close() {
    clearTimeout(again);
    clearTimeout(watchdog);
    source?.close();
    source = null;
  }

  function watch() {
    clearTimeout(watchdog);
    watchdog = setTimeout(lost, SILENCE);
  }

  function heard(event, take) {
    if (event.lastEventId) last = event.lastEventId;
    wait = SOONEST;
    watch();
    on.state("live");
    take(JSON.parse(event.data));
  }

  function lost() {
    close();
    on.state("lost");
    again = setTimeout(open, wait * (0.5 + Math.random() / 2));
    wait = Math.min(LATEST, wait * 2);
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      close();
      on.state("paused");
    } else if (source === null) {
      wait = SOONEST;
      open();
    }
  });
  window.addEventListener("online", open);
  if (!document.hidden) open();
}

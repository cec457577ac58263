// The page works without this file. It adds: live refresh, local times, keyboard moves, copy buttons, the token of forms.

const live = document.querySelector("[data-live-state]");
const main = document.querySelector("main");

// --- local times ------------------------------------------------------------------------------------------------
const moment = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const fine = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { month: "short", day: "2-digit" });

function ago(then) {
  const seconds = Math.floor((Date.now() - then) / 1000);
  if (seconds < 10) return seconds < -60 ? null : "just now";
  for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "min"]])
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit} ago`;
  return `${seconds} s ago`;
}

function showTimes() {
  for (const element of document.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    const text = "relative" in element.dataset ? ago(at) : moment.format(at).replace(",", "");
    if (text && element.textContent !== text) element.textContent = text;
    element.title = full.format(at);
  }
  for (const element of document.querySelectorAll("text[data-time]")) {
    const at = new Date(element.dataset.time);
    const midnight = at.getHours() + at.getMinutes() + at.getSeconds() === 0;
    element.textContent = midnight ? day.format(at) : ("seconds" in element.dataset ? fine : clock).format(at);
  }
}

// --- live -------------------------------------------------------------------------------------------------------
function say(state, word) {
  if (!live) return;
  live.dataset.liveState = state;
  live.querySelector("b").textContent = word;
}

// A refresh must not take away what a person is typing.
function isBusy() {
  const element = document.activeElement;
  return Boolean(element && element.closest("#incident, .query") && element.matches("input, textarea, select"));
}

function refresh() {
  if (!isBusy()) htmx.trigger(document.body, "tocsin:change");
}

function listen() {
  const source = new EventSource("/v1/stream");
  source.addEventListener("hello", () => say("live", "live"));
  source.addEventListener("change", refresh);
  source.addEventListener("bye", () => say("waiting", "reconnecting"));
  source.onerror = () => {
    say("waiting", "reconnecting");
    if (source.readyState === EventSource.CLOSED) setTimeout(() => { refresh(); listen(); }, 15000); // refused: too many live pages
  };
  window.addEventListener("pagehide", () => source.close());
}

// --- what a refresh must keep: which row has the focus, which reasons are open, what is new ------------------------
let kept = { focus: null, open: null, known: new Set() };

document.body.addEventListener("htmx:beforeSwap", (event) => {
  // A page that says why it refuses (signed out, gone) is shown whole, not squeezed into a part.
  if (event.detail.xhr.status >= 400) return;
  const row = document.activeElement?.closest("[data-incident]");
  kept = {
    focus: row?.dataset.incident ?? null,
    open: new Map([...document.querySelectorAll("details.finding")].map((element) => [element.id, element.open])),
    known: new Set([...document.querySelectorAll("[data-incident]")].map((element) => element.dataset.incident)),
  };
});

document.body.addEventListener("htmx:afterSettle", () => {
  for (const [id, open] of kept.open ?? []) {
    const element = document.getElementById(id);
    if (element) element.open = open;
  }
  const rows = [...document.querySelectorAll("[data-incident]")];
  for (const row of rows) if (kept.known.size && !kept.known.has(row.dataset.incident)) row.classList.add("fresh");
  rows.find((row) => row.dataset.incident === kept.focus)?.querySelector("h2 a").focus();
  ready();
});

document.body.addEventListener("htmx:configRequest", (event) => {
  if (main.dataset.csrf) event.detail.headers["X-CSRF-Token"] = main.dataset.csrf;
});

// --- keyboard ---------------------------------------------------------------------------------------------------
function move(step) {
  const links = [...document.querySelectorAll(".incident h2 a")];
  if (!links.length) return;
  const here = links.findIndex((link) => link.closest(".incident").contains(document.activeElement));
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, here + step));
  links[next].focus({ focusVisible: true });
  links[next].closest(".incident").scrollIntoView({ block: "nearest" });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, textarea, select");
  if (event.key === "Escape" && typing) return event.target.blur();
  if (typing) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "u" && document.querySelector(".back a")) document.querySelector(".back a").click();
  else if (event.key === "/" && document.getElementById("entity")) document.getElementById("entity").focus();
  else return;
  event.preventDefault();
});

// Ctrl+Enter runs a query.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches(".query textarea")) event.target.form.requestSubmit();
});

// --- copy buttons -----------------------------------------------------------------------------------------------
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});

function ready() {
  if (navigator.clipboard) for (const button of document.querySelectorAll("[data-copy]")) button.hidden = false;
  showTimes();
}

ready();
setInterval(showTimes, 10000);
if ("live" in document.body.dataset) listen();

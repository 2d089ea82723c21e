// Before and after side by side, in step. AFTER comes from this hub; BEFORE straight from the hospital's
// console with the console's own session: it never passes through the hub.
"use strict";

const viewer = document.getElementById("viewer");
const by = (id) => document.getElementById(id);
const { series, console: consoleOrigin, start } = viewer.dataset;
const slices = JSON.parse(viewer.dataset.slices);
const frames = JSON.parse(viewer.dataset.frames);
const places = slices.flatMap((sop, number) => Array.from({ length: frames[number] }, (_, frame) => [sop, frame]));

const NEIGHBOURS = 3; // pictures fetched ahead on either side
const MOST_KEPT = 64;
const kept = new Map();
const canShow = { after: true, before: false };
let place = Math.max(0, places.findIndex(([sop]) => sop === start));
let touched = false; // the window was turned: until then each picture has its own

function address(side, [sop, frame]) {
  const base = side === "before" ? `${consoleOrigin}/before/${series}` : `/reviews/${series}/after`;
  const turned = touched ? `?center=${by("center").value}&width=${by("width").value}` : "";
  return `${base}/${sop}/${frame}.png${turned}`;
}

function picture(side, where) {
  const url = address(side, where);
  let image = kept.get(url);
  if (!image) {
    image = new Image();
    image.alt = side === "before" ? "BEFORE, original" : "AFTER, de-identified";
    if (side === "before") image.crossOrigin = "use-credentials"; // the console answers this origin, and no other
    image.src = url;
    image.ready = image.decode().then(() => true, () => false);
    kept.set(url, image);
    if (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value);
  }
  return image;
}

async function show(side) {
  const here = place;
  const image = picture(side, places[here]);
  const ready = await image.ready;
  if (here !== place || image.src !== new URL(address(side, places[here]), location.href).href) return;
  if (ready) by(side).replaceChildren(image);
  else if (side === "before") say("This original is no longer kept, or cannot be shown: judge AFTER alone.");
}

function say(words) {
  canShow.before = false;
  const absent = document.createElement("p");
  absent.className = "absent";
  absent.textContent = words;
  by("before").replaceChildren(absent);
  by("both").disabled = true;
  by("both").checked = false;
}

function update() {
  by("slice").value = place + 1;
  by("place").textContent = `${place + 1} of ${places.length}`;
  for (const side of ["before", "after"]) if (canShow[side]) show(side);
  for (let step = 1; step <= NEIGHBOURS; step++)
    for (const near of [place + step, place - step])
      if (near >= 0 && near < places.length)
        for (const side of ["before", "after"]) if (canShow[side]) picture(side, places[near]);
}

function go(to) {
  place = Math.min(places.length - 1, Math.max(0, to));
  update();
}

function turn(centerSteps, widthSteps) {
  const width = Number(by("width").value);
  const step = Math.max(1, Math.round(width / 20));
  by("center").value = Math.round(Number(by("center").value) + centerSteps * step);
  by("width").value = Math.max(1, Math.round(width + widthSteps * step));
  touched = true;
  update();
}

// Blink: both pictures in one place, turned over by hand, so that nothing flashes by itself.
function blink() {
  if (viewer.classList.toggle("show-before", !viewer.classList.contains("show-before"))) viewer.classList.add("stacked");
  by("blink").setAttribute("aria-pressed", "true");
}

function sideBySide() {
  viewer.classList.remove("stacked", "show-before");
  by("blink").setAttribute("aria-pressed", "false");
}

function reject() {
  if (by("reason").value) return by("verdict").requestSubmit(by("reject"));
  by("reason-hint").textContent = "Choose the reason (1–9), then Enter.";
  by("reason").focus();
}

const KEYS = {
  ArrowRight: () => go(place + 1),
  ArrowDown: () => go(place + 1),
  ArrowLeft: () => go(place - 1),
  ArrowUp: () => go(place - 1),
  PageDown: () => go(place + 10),
  PageUp: () => go(place - 10),
  Home: () => go(0),
  End: () => go(places.length - 1),
  Escape: sideBySide,
};
const SHIFTED = {
  ArrowUp: () => turn(1, 0),
  ArrowDown: () => turn(-1, 0),
  ArrowRight: () => turn(0, 1),
  ArrowLeft: () => turn(0, -1),
};
const LETTERS = {
  "[": () => turn(0, -1),
  "]": () => turn(0, 1),
  0: () => reset(),
  h: blink,
  a: () => by("verdict").requestSubmit(by("approve")),
  r: reject,
};

function reset() {
  touched = false;
  by("center").value = by("center").defaultValue;
  by("width").value = by("width").defaultValue;
  update();
}

function press(event) {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.target.matches("input:not([type=range], [type=radio], [type=checkbox]), select, textarea")) return;
  const letter = by("letters").checked ? LETTERS[event.key.toLowerCase()] : undefined;
  const named = event.target.matches("input, .scroll") ? undefined : KEYS[event.key];
  const act = event.shiftKey && event.key.startsWith("Arrow") ? SHIFTED[event.key] : letter ?? named;
  if (!act) return;
  event.preventDefault();
  act();
}

// BEFORE values: fetched only when asked for, put in as text, taken out again when masked.
async function reveal() {
  const cells = document.querySelectorAll("#differences td[data-path]");
  const button = by("reveal");
  if (button.getAttribute("aria-pressed") === "true") {
    for (const cell of cells) cell.textContent = "•••";
    button.setAttribute("aria-pressed", "false");
    button.textContent = "Show identifiers";
    by("reveal-hint").textContent = "BEFORE is masked.";
    return;
  }
  const [sop] = places[Math.max(0, places.findIndex(([one]) => one === start))] ?? [slices[0]];
  const answer = await fetch(`${consoleOrigin}/before/${series}/${sop}/attributes`, { credentials: "include" }).catch(() => null);
  if (!answer?.ok) {
    by("reveal-hint").textContent = "The console does not show this original: sign in there, or it is no longer kept.";
    return;
  }
  const { attributes } = await answer.json();
  for (const cell of cells) cell.textContent = attributes[cell.dataset.path] ?? "not in the original";
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Mask identifiers";
  by("reveal-hint").textContent = "Shown, and noted on the audit trail.";
}

function find() {
  const wanted = by("find").value.toLowerCase();
  for (const row of document.querySelectorAll("#differences tbody tr")) row.hidden = !row.textContent.toLowerCase().includes(wanted);
}

async function greet() {
  const answer = await fetch(`${consoleOrigin}/session`, { credentials: "include" }).catch(() => null);
  const person = answer?.ok ? (await answer.json()).person : null;
  if (!person) return;
  canShow.before = true;
  by("reveal").disabled = false;
  by("both").disabled = false;
  by("both").checked = true;
  if (places.length) update();
}

if (places.length) {
  by("slice").addEventListener("input", () => go(by("slice").valueAsNumber - 1));
  for (const id of ["center", "width"]) by(id).addEventListener("change", () => { touched = true; update(); });
  by("reset").addEventListener("click", reset);
  by("blink").addEventListener("click", blink);
  document.addEventListener("keydown", press);
  update();
}
by("reason").addEventListener("keydown", (event) => {
  const chosen = by("reason").options[Number(event.key)];
  if (chosen && event.key !== "0") { event.preventDefault(); by("reason").value = chosen.value; }
  if (event.key === "Enter" && by("reason").value) { event.preventDefault(); by("verdict").requestSubmit(by("reject")); }
});
by("verdict").addEventListener("submit", (event) => {
  if (event.submitter === by("reject") && !by("reason").value) { event.preventDefault(); reject(); }
});
by("reveal").addEventListener("click", reveal);
by("find").addEventListener("input", find);
greet();

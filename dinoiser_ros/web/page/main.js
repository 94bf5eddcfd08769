// SPDX-License-Identifier: Apache-2.0
// Puts the page together.

import { Classes } from "./classes.js";
import { Connection } from "./connection.js";
import { showDiagnostics } from "./diagnostics.js";
import { byId, download, element, preferences, say } from "./dom.js";
import { Parameters } from "./parameters.js";
import { PictureView } from "./picture.js";
import { Prompts } from "./prompts.js";
import { Teach } from "./teach.js";
import { Probe, Why } from "./why.js";

const SIDE_BY_SIDE = 4; // cameras that are shown at first; of more only the first

// The token is kept in a cookie from here on, and not in the address that people copy or photograph.
if (location.search) history.replaceState(null, "", location.pathname);

let state = null;
let online = false;
let frozen = false;
let heldBefore = false; // before somebody began to point
let chosen = preferences.get("cameras", null);
const views = new Map();
const connection = new Connection();
const classes = new Classes(() => {
  redraw();
  prompts?.render();
});
const change = (values) => connection.ask("change", { values });
const prompts = new Prompts({
  change: (list) => change({ prompts: list }),
  colour: (name) => {
    const id = classes.idOf(name);
    return id === undefined ? "" : `rgb(${classes.colour(id, name)})`;
  },
});
const parameters = new Parameters(change);
const probe = new Probe(connection, classes);
const teach = new Teach({
  ask: (what, fields) => connection.ask(what, fields),
  hold,
  prompts: () => prompts.used,
  change: (list) => change({ prompts: list }),
});
const why = new Why(connection, () => [...views.values()]);

function redraw() {
  for (const view of views.values()) view.draw();
}

// -- cameras -----------------------------------------------------------------------------------------------------

function watched() {
  const { cameras } = state;
  const kept = (chosen || []).filter((name) => cameras.includes(name));
  if (kept.length) return kept;
  return cameras.length <= SIDE_BY_SIDE ? cameras : cameras.slice(0, 1);
}

function choose(names) {
  chosen = names;
  preferences.set("cameras", names);
  showCameras();
}

function showCameras() {
  const names = watched();
  for (const [name, view] of views) {
    if (!names.includes(name)) {
      view.root.remove();
      views.delete(name);
    }
  }
  for (const name of names) {
    if (!views.has(name)) {
      views.set(name, new PictureView(name, {
        style: (id, label) => classes.style(id, label),
        onProbe: (...where) => probe.at(...where),
        onLeave: () => probe.leave(),
        onDrawn: (view) => {
          teach.drawn(view);
          if (view === views.values().next().value) classes.measure(view.header.classes);
        },
        teach,
      }));
    }
  }
  byId("views").replaceChildren(...names.map((name) => views.get(name).root));
  byId("views").dataset.count = names.length;
  connection.tell("watch", { cameras: names });
  showChoice(names);
}

function showChoice(names) {
  const nav = byId("cameras");
  nav.hidden = state.cameras.length < 2;
  if (state.cameras.length <= 8) {
    nav.replaceChildren(...state.cameras.map((name) => element("button", {
      textContent: name, "aria-pressed": String(names.includes(name)),
      onclick: () => choose(names.includes(name) ? names.filter((other) => other !== name) : [...names, name]),
    })));
    return;
  }
  const index = state.cameras.indexOf(names[0]);
  const step = (by) => () => choose([state.cameras[(index + by + state.cameras.length) % state.cameras.length]]);
  const select = element("select", { "aria-label": "Picture", onchange: () => choose([select.value]) },
    ...state.cameras.map((value) => element("option", { value, textContent: value })));
  select.value = names[0];
  nav.replaceChildren(
    element("button", { textContent: "◂", onclick: step(-1), "aria-label": "Previous" }), select,
    element("button", { textContent: "▸", onclick: step(1), "aria-label": "Next" }),
    element("span", { className: "note", textContent: `${index + 1} of ${state.cameras.length}` }));
}

// While somebody points, the picture has to stay; afterwards it goes on, unless it was held before.
function hold(held) {
  if (held) {
    heldBefore = frozen;
    const canvases = [...views.values()].map(({ canvas }) => canvas);
    if (!canvases.includes(document.activeElement)) canvases[0]?.focus({ preventScroll: true });
  }
  if (frozen !== (held || heldBefore)) setFrozen(!frozen);
}

function freeze() {
  if (frozen && teach.on) teach.toggle();
  else setFrozen(!frozen);
}

function setFrozen(value) {
  frozen = value;
  byId("freeze").setAttribute("aria-pressed", frozen);
  byId("freeze").textContent = frozen ? "Go on" : "Freeze";
  for (const view of views.values()) {
    view.root.classList.toggle("frozen", frozen);
    if (!frozen && view.held) {
      const { held, owed } = view;
      view.held = null;
      view.owed = 0;
      draw(view, held);
      for (let i = 1; i < owed; i++) connection.tell("ready", { camera: view.camera });
    }
  }
}

async function draw(view, message) {
  try {
    await view.show(message);
  } catch (error) {
    say(byId("banner"), `A picture could not be shown: ${error.message}`);
  }
  connection.tell("ready", { camera: view.camera });
}

connection.addEventListener("picture", ({ detail }) => {
  const view = views.get(detail.camera);
  if (!view) return;
  if (frozen && view.header) {
    view.held = detail; // the newest one is kept, for going on
    view.owed = (view.owed || 0) + 1; // without "ready" the server soon sends no more
  } else {
    draw(view, detail);
  }
});
connection.addEventListener("problem", ({ detail }) => {
  const view = views.get(detail.camera);
  if (view) {
    view.note.hidden = false;
    view.note.textContent = detail.error;
  }
});

// -- states ------------------------------------------------------------------------------------------------------

function showLink(reason) {
  const connected = online && state?.connected;
  byId("link").className = `link ${connected ? "on" : "off"}`;
  byId("link").textContent = state ? `${state.name}${state.control ? "" : " (view only)"}` : "";
  document.body.classList.toggle("offline", !connected);
  if (!online) say(byId("banner"), reason || "There is no connection to the server of this page. Trying again.");
  else if (state) say(byId("banner"), state.connected ? "" : state.about);
}

connection.addEventListener("opened", () => {
  online = true;
  if (state) connection.tell("watch", { cameras: watched() });
  showLink();
});
connection.addEventListener("lost", ({ detail }) => {
  online = false;
  const full = detail === "too many viewers";
  showLink(full ? "Too many people look at this page already. Trying again." : "");
});
connection.addEventListener("state", ({ detail }) => {
  const before = state;
  state = detail;
  const allowed = state.control && state.connected;
  document.title = `dinoiser ${state.name}`;
  const names = state.classes.map(([, name]) => name);
  const coloured = classes.update(state.classes); // before the prompts, whose colours follow the ids
  prompts.update(state.parameters.find(({ name }) => name === "prompts")?.value || names, allowed, coloured);
  why.update(names);
  teach.update(names, state.examples, allowed);
  parameters.update(state.parameters, allowed);
  byId("undo").disabled = !allowed || !state.undo;
  byId("undo").textContent = state.undo ? `Undo (${state.undo})` : "Undo";
  byId("upload").disabled = !allowed;
  if (JSON.stringify(before?.cameras) !== JSON.stringify(state.cameras)) showCameras();
  showLink();
});
connection.addEventListener("diagnostics", ({ detail }) => showDiagnostics(detail.diagnostics));

// -- tools -------------------------------------------------------------------------------------------------------

async function attempt(doing) {
  say(byId("parameter-error"), "");
  try {
    await doing();
  } catch (error) {
    say(byId("parameter-error"), error.message);
  }
}

const undo = () => attempt(() => connection.ask("undo"));

const save = () => attempt(async () => {
  for (const view of views.values()) {
    if (!view.header) continue;
    const { camera, number } = view.header;
    const file = await connection.ask("save", { camera, number });
    download(file.name, new Blob([file.content], { type: "application/zip" }));
  }
});

byId("freeze").onclick = freeze;
byId("save").onclick = save;
byId("undo").onclick = undo;
byId("help").onclick = () => byId("keys").showModal();
byId("download").onclick = () => attempt(async () => {
  const { text } = await connection.ask("settings");
  download("dinoiser.yaml", new Blob([text], { type: "text/yaml" }));
});
byId("upload").onchange = () => attempt(async () => {
  const [file] = byId("upload").files;
  if (!file) return;
  const text = await file.text();
  byId("upload").value = "";
  const { names, notes } = await connection.ask("load", { text });
  const done = names.length ? `Changed: ${names.join(", ")}.` : "Nothing had to be changed.";
  byId("settings-note").textContent = [done, ...notes].join(" ");
});
byId("upload-label").onkeydown = (event) => {
  if (event.key === "Enter" || event.key === " ") byId("upload").click();
};

const light = byId("light");
const dark = matchMedia("(prefers-color-scheme: dark)");
const applyTheme = () => {
  light.checked = preferences.get("light", !dark.matches);
  document.documentElement.dataset.theme = light.checked ? "light" : "dark";
};
light.onchange = () => {
  preferences.set("light", light.checked);
  applyTheme();
};
dark.addEventListener("change", applyTheme);
applyTheme();

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest?.("input:not([type=checkbox]):not([type=range]), select, textarea, dialog");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    f: freeze, s: save, u: () => byId("undo").disabled || undo(), w: () => why.toggle(), t: () => teach.toggle(),
    "/": () => byId("new-prompt").focus(), "?": () => byId("keys").showModal(),
    Escape: () => (teach.on ? teach.toggle() : probe.leave()),
  };
  const action = actions[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (action) {
    event.preventDefault();
    action();
  } else if (/^[1-9]$/.test(event.key)) {
    classes.toggle(Number(event.key) - 1);
  }
});

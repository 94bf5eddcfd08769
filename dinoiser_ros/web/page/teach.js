// SPDX-License-Identifier: Apache-2.0
// Teaching a class by pointing at it in a picture: points, or a box, and the examples that there are.

import { byId, element, say } from "./dom.js";
import { parts, tidy } from "./prompts.js";

const LEAST_DRAG = 0.02; // of the picture's width; less is a click
const KEYS = "Click on it, or drag a box. Keys: Space a point, B corners of a box, Enter teach, Backspace back, Esc stop.";
const alike = (one, other) => tidy(one).toLowerCase() === tidy(other).toLowerCase();
const count = (number) => `${number} example${number === 1 ? "" : "s"}`;

/** Prompts in which a taught class has a part: in the class of its name, or as one of its own. */
export function withTaught(prompts, name) {
  const split = prompts.map(parts);
  const names = ({ name: own, phrases }) => (phrases.length ? phrases : [own]);
  if (split.some((prompt) => names(prompt).some((phrase) => alike(phrase, `@${name}`)))) return prompts;
  const index = split.findIndex(({ name: own }) => alike(own, name));
  if (index < 0) return [...prompts, `@${name}`];
  const { id, name: own } = split[index];
  const phrases = [...names(split[index]), `@${name}`].join(", ");
  return prompts.map((prompt, i) => (i === index ? `${id && `${id}=`}${own}: ${phrases}` : prompt));
}

/**
 * The section "Teach". `ask(what, fields)` gives the server's answer; `hold(true)` holds the pictures, and `hold(false)`
 * lets them go on; `prompts()` are those in use, and `change(prompts)` sets others.
 */
export class Teach {
  constructor({ ask, hold, prompts, change }) {
    Object.assign(this, { ask, hold, prompts, change });
    this.on = false;
    this.allowed = false;
    this.done = ""; // what was done last
    this.clear();
    this.name = byId("teach-name");
    byId("teach-point").onclick = () => this.toggle();
    byId("teach").onsubmit = (event) => {
      event.preventDefault();
      this.teach();
    };
    this.name.onkeydown = (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault(); // the form's button may be disabled
      if (this.marked) this.teach();
      else if (!this.on) this.toggle();
    };
    this.name.oninput = () => this.show();
  }

  get marked() {
    return Boolean(this.points.length || this.box);
  }

  /** Classes in use by name, examples as pairs [name, number], whether anything may be changed. */
  update(classes, examples, allowed) {
    this.allowed = allowed;
    if (!allowed && this.on) this.toggle();
    const names = [...new Set([...examples.map(([name]) => name), ...classes])];
    byId("teach-names").replaceChildren(...names.map((value) => element("option", { value })));
    this.show();
    const rows = JSON.stringify([examples, allowed]);
    if (rows === this.rows) return; // nothing moves under somebody's finger
    this.rows = rows;
    byId("examples").hidden = !examples.length;
    const focused = document.activeElement?.id;
    byId("examples").tBodies[0].replaceChildren(...examples.map((entry, i) => this.row(entry, i)));
    if (focused?.startsWith("forget-")) byId(focused)?.focus();
  }

  row([name, number], index) {
    const button = (textContent, what, newest) => element("button", {
      id: `forget-${index}-${newest}`, textContent, disabled: !this.allowed,
      "aria-label": `Forget ${what} of ${name}`, onclick: () => this.forget(name, newest),
    });
    return element("tr", {},
      element("td", { className: "class-name", textContent: `@${name}` }),
      element("td", { className: "number", textContent: number }),
      element("td", { className: "forget" }, button("Forget newest", "the newest example", 1), button("all", "all examples", 0)));
  }

  // -- pointing ----------------------------------------------------------------------------------

  toggle() {
    if (!this.on && !this.allowed) return;
    this.on = !this.on;
    byId("teach-point").setAttribute("aria-pressed", this.on);
    document.body.classList.toggle("pointing", this.on);
    this.clear();
    this.done = "";
    this.hold(this.on);
    this.show();
  }

  clear() {
    const { view } = this;
    Object.assign(this, { view: null, points: [], box: null, corner: null });
    this.draw(view);
  }

  draw(view = this.view) {
    if (!view) return;
    view.marks = view === this.view ? { points: this.points, box: this.box, corner: this.corner } : null;
    view.draw();
  }

  /** Marks belong to one picture: those of another begin anew. */
  enter(view) {
    if (view === this.view) return;
    this.clear();
    this.view = view;
  }

  point(view, place) {
    this.enter(view);
    this.box = this.corner = null;
    this.points.push([...place]);
    this.draw();
    this.show();
  }

  boxed(view, [x, y], [u, v]) {
    this.enter(view);
    this.points = [];
    this.corner = null;
    this.box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)];
    this.draw();
    this.show();
  }

  /** The pointer was pressed, moved or let go at a place, 0 to 1, of a view. */
  pointer(kind, view, place) {
    if (kind === "pointerdown") {
      this.pressed = { view, place: [...place] };
    } else if (this.pressed?.view === view) {
      const { place: start } = this.pressed;
      const far = Math.max(...start.map((value, i) => Math.abs(value - place[i]))) >= LEAST_DRAG;
      if (kind === "pointermove" && far) this.boxed(view, start, place);
      if (kind === "pointerup" && !far) this.point(view, start);
      if (kind !== "pointermove") this.pressed = null;
    }
  }

  /** A key was pressed on a view whose cursor is at a place; whether it meant anything. */
  key(key, view, place) {
    const actions = {
      " ": () => this.point(view, place),
      b: () => this.setCorner(view, place),
      Enter: () => this.teach(),
      Backspace: () => this.back(),
      Escape: () => this.toggle(),
    };
    const action = actions[key.length === 1 ? key.toLowerCase() : key];
    action?.();
    return Boolean(action);
  }

  setCorner(view, place) {
    this.enter(view);
    if (this.corner) {
      this.boxed(view, this.corner, place);
    } else {
      Object.assign(this, { points: [], box: null, corner: [...place] });
      this.draw();
      this.show();
    }
  }

  back() {
    if (this.box || this.corner) this.box = this.corner = null;
    else this.points.pop();
    this.draw();
    this.show();
  }

  /** Another picture was drawn: what was marked is not on it. */
  drawn(view) {
    if (view !== this.view) return;
    this.clear();
    this.show();
  }

  tell(sentence) {
    this.done = sentence;
    this.show();
  }

  show() {
    const marked = this.box ? "A box." : this.corner ? "One corner of a box."
      : this.points.length ? `${this.points.length} point${this.points.length > 1 ? "s" : ""}.` : "";
    say(byId("teach-note"), this.on ? `${marked} ${KEYS}`.trim() : this.done);
    for (const control of [this.name, byId("teach-point"), byId("teach-use")]) control.disabled = !this.allowed;
    byId("teach-do").disabled = !this.allowed || !this.marked || !tidy(this.name.value);
  }

  // -- changes -----------------------------------------------------------------------------------

  async teach() {
    const name = tidy(this.name.value);
    if (!name) this.name.focus();
    if (!name || !this.marked || this.busy) return;
    const { camera, number } = this.view.header;
    const region = this.box ? { box: this.box } : { points: this.points };
    await this.attempt(async () => {
      const { examples } = await this.ask("teach", { camera, number, name, ...region });
      if (this.on) this.toggle();
      this.tell(`@${name} has ${count(examples)}.`);
      const used = this.prompts();
      const wanted = byId("teach-use").checked ? withTaught(used, name) : used;
      if (wanted !== used) await this.change(wanted);
    });
  }

  forget(name, newest) {
    return this.attempt(async () => {
      const { examples } = await this.ask("forget", newest ? { name, newest } : { name });
      this.tell(`@${name} has ${count(examples)} left.`);
    });
  }

  async attempt(doing) {
    say(byId("teach-error"), "");
    this.busy = true;
    byId("teach").classList.add("busy");
    try {
      await doing();
    } catch (error) {
      say(byId("teach-error"), error.message);
    }
    this.busy = false;
    byId("teach").classList.remove("busy");
  }
}

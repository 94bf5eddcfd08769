// SPDX-License-Identifier: Apache-2.0
// Why a pixel is what it is: the class under the pointer with its runners-up, heat maps, confused prompts.

import { byId, element, percent, say } from "./dom.js";

const REST = 350; // milliseconds that the pointer rests before the runners-up are asked for
const PAUSE = 1000; // milliseconds between heat maps of a live picture

/** The tip at the pointer. */
export class Probe {
  constructor(connection, classes) {
    this.connection = connection;
    this.classes = classes;
    this.tip = byId("tip");
    this.asking = false;
  }

  leave() {
    this.target = null;
    clearTimeout(this.timer);
    this.tip.hidden = true;
  }

  /** The pointer is at (x, y) of a view's picture, at (left, top) of the window. */
  at(view, x, y, left, top) {
    if (!view.header) return;
    this.target = { view, x, y, left, top };
    this.show(view.classAt(x, y), {});
    if (!this.asking) this.ask(false);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(true), REST);
  }

  async ask(deep) {
    const { target } = this;
    if (!target) return;
    const { view, x, y } = target;
    const { camera, number } = view.header;
    this.asking = true;
    try {
      const found = await this.connection.ask("probe", { camera, number, x, y, deep });
      if (target === this.target) this.show(view.classAt(x, y), found);
    } catch (error) {
      if (deep && target === this.target) this.tip.append(element("p", { className: "note", textContent: error.message }));
    }
    this.asking = false;
  }

  show(found, { probability = null, distance = null, ranking = null }) {
    const { left, top } = this.target;
    const title = element("strong", { textContent: found ? found.name : "unlabeled" });
    const swatch = element("span", { className: "swatch" });
    if (found) swatch.style.background = `rgb(${this.classes.colour(found.id, found.name)})`;
    const head = element("p", {}, swatch, title, probability === null ? "" : ` ${percent(probability)}`,
      distance === null ? "" : ` · ${distance.toFixed(distance < 10 ? 2 : 0)} m`);
    const rows = (ranking || []).map(([name, value]) => {
      const bar = element("span", { className: "bar" });
      bar.style.width = `${Math.round(60 * value)}px`;
      return element("tr", {}, element("td", { textContent: name }),
        element("td", { className: "number", textContent: percent(value) }), element("td", {}, bar));
    });
    this.tip.replaceChildren(head, ...(rows.length ? [element("table", {}, ...rows)] : []));
    this.tip.hidden = false;
    const box = this.tip.getBoundingClientRect();
    const x = left + 16 + box.width > innerWidth ? left - 16 - box.width : left + 16;
    const y = top + 16 + box.height > innerHeight ? top - 16 - box.height : top + 16;
    this.tip.style.left = `${Math.max(4, x)}px`;
    this.tip.style.top = `${Math.max(4, y)}px`;
  }
}

/** Heat maps, and the table of confused prompts. `views()` gives the views that are shown. */
export class Why {
  constructor(connection, views) {
    this.connection = connection;
    this.views = views;
    this.on = false;
    this.select = byId("why-class");
    this.select.onchange = () => this.restart();
    byId("why").onclick = () => this.toggle();
  }

  update(names) {
    const before = this.select.value;
    if (JSON.stringify(names) === JSON.stringify([...this.select.options].map(({ value }) => value))) return;
    this.select.replaceChildren(...names.map((value) => element("option", { value, textContent: value })));
    this.select.value = names.includes(before) ? before : names[Math.min(1, names.length - 1)];
    this.restart();
  }

  toggle() {
    this.on = !this.on;
    byId("why").setAttribute("aria-pressed", this.on);
    byId("why-result").hidden = !this.on;
    if (!this.on) {
      for (const view of this.views()) {
        view.heat = null;
        view.draw();
      }
    }
    this.restart();
  }

  restart() {
    this.run = Symbol("run");
    if (this.on) this.loop(this.run);
  }

  async loop(run) {
    const done = new Map(); // view -> number of the frame that was explained
    while (this.on && run === this.run) {
      const due = this.views().filter((view) => view.header && done.get(view) !== view.header.number);
      for (const view of due) {
        if (run !== this.run) return;
        const { camera, number } = view.header;
        try {
          const found = await this.connection.ask("why", { camera, number, class: this.select.value });
          if (run !== this.run || !this.on) return;
          done.set(view, number);
          view.heat = found.heat;
          view.draw();
          if (view === this.views()[0]) this.show(found);
        } catch (error) {
          say(byId("why-note"), error.message);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, due.length ? PAUSE : PAUSE / 4));
    }
  }

  show({ confused }) {
    const table = byId("confused");
    table.hidden = !confused.length;
    table.tBodies[0].replaceChildren(...confused.map(([first, second, mass]) =>
      element("tr", {}, element("td", { textContent: first }), element("td", { textContent: second }),
        element("td", { className: "number", textContent: percent(mass) }))));
    say(byId("why-note"), confused.length
      ? "These prompts compete: give one of them a clearer word, or group them."
      : "No two prompts compete for the same places.");
  }
}

// SPDX-License-Identifier: Apache-2.0
// The table of classes: which are shown, their colours and opacity, area and confidence.

import { byId, element, percent, preferences } from "./dom.js";
import { PALETTES, fromHex, hex } from "./palette.js";

const MOST_ROWS = 200; // of thousands of classes the first

/** Looks of classes by their names, so that they stay when the order of prompts changes. */
export class Classes {
  constructor(changed) {
    this.changed = changed;
    this.names = [];
    // name -> {shown, colour, opacity}; without a prototype, since people may call a class anything
    this.looks = Object.assign(Object.create(null), preferences.get("looks", {}));
    this.palette = preferences.get("palette", "overlay");
    if (!PALETTES[this.palette]) this.palette = "overlay";
    this.opacity = preferences.get("opacity", 0.5);
    this.rows = new Map();
    const select = byId("palette");
    select.append(...Object.entries(PALETTES).map(([value, { name }]) =>
      element("option", { value, textContent: name })));
    select.value = this.palette;
    select.onchange = () => {
      this.palette = select.value;
      for (const look of Object.values(this.looks)) delete look.colour;
      this.keep();
      this.render();
    };
    const slider = byId("opacity");
    slider.value = this.opacity;
    slider.oninput = () => {
      this.opacity = Number(slider.value);
      this.keep();
    };
  }

  keep() {
    preferences.set("looks", this.looks);
    preferences.set("palette", this.palette);
    preferences.set("opacity", this.opacity);
    this.changed();
  }

  colour(id, name) {
    return this.looks[name]?.colour || PALETTES[this.palette].colour(id);
  }

  /** {colour, opacity} as it is painted: a hidden class has opacity 0. */
  style(id, name) {
    const look = this.looks[name] || {};
    const opacity = look.shown === false ? 0 : this.opacity * (look.opacity ?? 1);
    return { colour: this.colour(id, name), opacity };
  }

  set(name, change) {
    this.looks[name] = { ...this.looks[name], ...change };
    this.keep();
  }

  /** Show or hide the class at a position. */
  toggle(index) {
    const name = this.names[index];
    if (name === undefined) return;
    this.set(name, { shown: this.looks[name]?.shown === false });
    this.rows.get(name)?.sync();
  }

  update(names) {
    if (JSON.stringify(names) === JSON.stringify(this.names)) return;
    this.names = names;
    this.render();
  }

  render() {
    this.rows.clear();
    const rows = this.names.slice(0, MOST_ROWS).map((name, id) => this.row(id, name));
    byId("classes").replaceChildren(...rows);
    this.measure(this.measured || []);
    if (this.names.length > MOST_ROWS) {
      const text = `and ${this.names.length - MOST_ROWS} more`;
      byId("classes").append(element("tr", {}, element("td", { colSpan: 5, textContent: text })));
    }
  }

  row(id, name) {
    const shown = element("input", { type: "checkbox", "aria-label": `Show ${name}` });
    const colour = element("input", { type: "color", "aria-label": `Colour of ${name}` });
    const opacity = element("input", {
      type: "range", min: 0, max: 1, step: 0.1, "aria-label": `Opacity of ${name}`, title: "Opacity",
    });
    const bar = element("span", { className: "bar" });
    const area = element("td", { className: "number" }, bar);
    const share = element("span", { textContent: "–" });
    area.append(share);
    const confidence = element("td", { className: "number", textContent: "–" });
    const sync = () => {
      shown.checked = this.looks[name]?.shown !== false;
      colour.value = hex(this.colour(id, name));
      opacity.value = this.looks[name]?.opacity ?? 1;
      bar.style.background = colour.value;
    };
    sync();
    shown.onchange = () => this.set(name, { shown: shown.checked });
    colour.oninput = () => {
      this.set(name, { colour: fromHex(colour.value) });
      sync();
    };
    opacity.oninput = () => this.set(name, { opacity: Number(opacity.value) });
    this.rows.set(name, { sync, share, bar, confidence });
    return element("tr", {},
      element("td", {}, shown),
      element("td", { className: "class-name" },
        element("div", {}, colour, element("span", { textContent: name, title: name }))),
      area, confidence, element("td", {}, opacity));
  }

  /** Area and confidence in a picture: rows [id, name, share, confidence] of its header. */
  measure(found) {
    this.measured = found;
    const measured = new Map(found.map(([, name, share, confidence]) => [name, { share, confidence }]));
    for (const [name, row] of this.rows) {
      const { share = 0, confidence = null } = measured.get(name) || {};
      row.share.textContent = percent(share);
      row.bar.style.width = `${Math.round(100 * share)}%`;
      row.confidence.textContent = percent(confidence);
    }
  }
}

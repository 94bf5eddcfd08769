// SPDX-License-Identifier: Apache-2.0
// Controls made from the node's descriptions of its parameters.

import { byId, element, preferences, say } from "./dom.js";

// What people change most comes first; all others follow as the node declares them.
const FIRST = [
  "method", "background_filter", "background_source", "background_uncertainty", "gamma", "delta",
  "confidence_threshold", "inference_size",
];
const NOT_HERE = new Set(["prompts"]);

/** The section "Parameters". `change({name: value})` gives a promise. */
export class Parameters {
  constructor(change) {
    this.change = change;
    this.rows = new Map();
    this.shape = "";
  }

  update(parameters, allowed) {
    const shown = parameters.filter(({ name }) => !NOT_HERE.has(name));
    const shape = JSON.stringify(shown.map(({ value, ...rest }) => rest)) + allowed;
    if (shape !== this.shape) {
      this.shape = shape;
      this.build(shown, allowed);
    }
    for (const { name, value } of shown) this.rows.get(name).set(value);
  }

  build(parameters, allowed) {
    this.rows.clear();
    const byName = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    const first = FIRST.filter((name) => byName.has(name));
    const others = parameters.filter(({ name }) => !first.includes(name));
    const groups = [
      ["", first.map((name) => byName.get(name))],
      ["More", others.filter(({ changeable }) => changeable)],
      ["Fixed while the node runs", others.filter(({ changeable }) => !changeable)],
    ];
    byId("parameters").replaceChildren(...groups.filter(([, rows]) => rows.length).map(([title, rows]) => {
      const made = rows.map((parameter) => this.row(parameter, allowed));
      if (!title) return element("div", {}, ...made);
      const details = element("details", { open: preferences.get(`open ${title}`, false) },
        element("summary", { textContent: `${title} (${rows.length})` }), ...made);
      details.ontoggle = () => preferences.set(`open ${title}`, details.open);
      return details;
    }));
  }

  row(parameter, allowed) {
    const { name, description, takes, changeable } = parameter;
    const id = `parameter-${name}`;
    const about = element("small", { id: `${id}-about`, textContent: description });
    const error = element("p", { className: "error", role: "alert", hidden: true });
    const send = async (value) => {
      say(error, "");
      try {
        await this.change({ [name]: value });
      } catch (refusal) {
        say(error, refusal.message);
        this.rows.get(name).reset();
      }
    };
    const { controls, set } = control(parameter, send);
    for (const entry of controls) {
      entry.disabled = !allowed || !changeable;
      entry.title = takes;
    }
    Object.assign(controls[0], { id });
    controls.forEach((entry) => entry.setAttribute("aria-describedby", about.id));
    if (controls[1]) controls[1].setAttribute("aria-label", name);
    let last;
    this.rows.set(name, {
      set: (value) => {
        const text = JSON.stringify(value);
        if (text === last) return; // what is being typed stays
        last = text;
        set(value);
      },
      reset: () => set(JSON.parse(last)),
    });
    return element("div", { className: "parameter" },
      element("label", { htmlFor: id, textContent: name }),
      element("div", { className: "controls" }, ...controls), about, error);
  }
}

/** Inputs for a parameter, and how to show a value in them. */
function control(parameter, send) {
  const { kind, choices, minimum, maximum } = parameter;
  if (kind === "bool") {
    const box = element("input", { type: "checkbox" });
    box.onchange = () => send(box.checked);
    return { controls: [box], set: (value) => (box.checked = value) };
  }
  if (kind === "str" && choices.length) {
    const select = element("select", {}, ...choices.map((value) => element("option", { value, textContent: value })));
    select.onchange = () => send(select.value);
    return { controls: [select], set: (value) => (select.value = value) };
  }
  if (kind === "int" || kind === "float") {
    const whole = kind === "int";
    const number = element("input", { type: "number", step: whole ? 1 : "any" });
    number.onchange = () => number.value !== "" && send(Number(number.value));
    if (minimum === null || maximum === null) return { controls: [number], set: (value) => (number.value = value) };
    Object.assign(number, { min: minimum, max: maximum });
    if (maximum - minimum > 10) return { controls: [number], set: (value) => (number.value = value) };
    const slider = element("input", { type: "range", min: minimum, max: maximum, step: whole ? 1 : 0.01 });
    slider.oninput = () => (number.value = slider.value);
    slider.onchange = () => send(Number(slider.value));
    return { controls: [number, slider], set: (value) => (number.value = slider.value = value) };
  }
  const text = element("input", { type: "text", maxLength: 4000 });
  if (kind === "list") {
    text.onchange = () => send(text.value.split(",").map((entry) => entry.trim()).filter(Boolean));
    return { controls: [text], set: (value) => (text.value = value.join(", ")) };
  }
  text.onchange = () => send(text.value);
  return { controls: [text], set: (value) => (text.value = value) };
}

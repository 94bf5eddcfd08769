// SPDX-License-Identifier: Apache-2.0
// Prompts as chips: added, edited, grouped, moved, removed; a refusal is shown beside its chip.

import { byId, element, say } from "./dom.js";

// Characters that cannot be seen, and white space, count as little as for the node.
export const tidy = (text) =>
  text.normalize("NFC").replace(/\p{Default_Ignorable_Code_Point}/gu, "").replace(/\s+/g, " ").trim();

/** "7=floor: carpet, tiles" as {id, name, phrases}; a phrase alone names itself, id is "" if none is asked for. */
export function parts(prompt) {
  const [, id = "", text] = /^\s*(?:(0|[1-9]\d{0,8})\s*=)?(.*)$/s.exec(prompt);
  const [name, ...rest] = text.split(":");
  if (!rest.length) return { id, name: tidy(text), phrases: [] };
  return { id, name: tidy(name), phrases: rest.join(":").split(",").map((phrase) => phrase.trim()) };
}

/** Two prompts as one class: the first one's name and id, the phrases of both. */
export function grouped(first, second) {
  const phrases = [first, second].flatMap((prompt) => {
    const { name, phrases } = parts(prompt);
    return phrases.length ? phrases : [name];
  });
  const { id, name } = parts(first);
  return `${id && `${id}=`}${name}: ${phrases.join(", ")}`;
}

/** Positions of the prompts that a refusal is about: it names them by number, or quotes them. */
export function blamed(sentence, prompts) {
  const numbers = /\bprompts? (\d+)(?: (?:and|\(.*?\) and) (\d+))?/i.exec(sentence);
  if (numbers) return numbers.slice(1).filter(Boolean).map((text) => Number(text) - 1);
  return prompts.flatMap((prompt, i) => (sentence.includes(`'${prompt}'`) ? [i] : []));
}

/** The section "Prompts". `change(prompts)` gives a promise; `colour(name)` a class's CSS colour, "" for none. */
export class Prompts {
  constructor({ change, colour }) {
    this.change = change;
    this.colour = colour;
    this.used = []; // by the node
    this.draft = null; // refused, or on its way
    this.error = "";
    this.chosen = -1;
    this.editing = -1;
    this.allowed = true;
    this.list = byId("chips");
    this.tools = byId("chip-tools");
    byId("add").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = byId("new-prompt");
      const text = input.value.trim();
      if (!text) return;
      input.value = "";
      this.commit([...this.shown, text]);
    });
    this.list.addEventListener("keydown", (event) => this.key(event));
    this.makeTools();
  }

  get shown() {
    return this.draft || this.used;
  }

  /** What the node uses now; `coloured` says that colours may be others than before. */
  update(prompts, allowed, coloured) {
    const changed = coloured || JSON.stringify([prompts, allowed]) !== JSON.stringify([this.used, this.allowed]);
    this.used = prompts;
    this.allowed = allowed;
    for (const control of byId("add").elements) control.disabled = !allowed;
    if (changed && this.editing < 0) this.render();
  }

  async commit(prompts, chosen = this.chosen) {
    this.editing = -1;
    this.draft = prompts;
    this.chosen = chosen;
    this.error = "";
    this.busy = true;
    this.render();
    try {
      await this.change(prompts);
      this.draft = null;
      this.used = prompts;
    } catch (error) {
      this.error = error.message;
    }
    this.busy = false;
    this.render();
  }

  render() {
    const focused = this.list.contains(document.activeElement);
    const prompts = this.shown;
    if (this.chosen >= prompts.length) this.chosen = -1;
    const wrong = this.error ? blamed(this.error, prompts) : [];
    this.list.replaceChildren(...prompts.map((prompt, i) => this.chip(prompt, i, wrong.includes(i))));
    this.list.classList.toggle("busy", Boolean(this.busy));
    say(byId("prompt-error"), wrong.length ? "" : this.error);
    if (this.draft && !this.busy) {
      const back = element("button", { textContent: "Back to the prompts in use" });
      back.onclick = () => {
        this.draft = null;
        this.error = "";
        this.render();
      };
      this.list.append(element("li", { className: "plain" }, back));
    }
    this.tools.hidden = this.chosen < 0 || !this.allowed || this.editing >= 0;
    for (const button of this.tools.children) button.disabled = !button.possible();
    if (focused && this.editing < 0) this.list.children[Math.max(this.chosen, 0)]?.focus();
  }

  chip(prompt, index, wrong) {
    if (index === this.editing) return this.editor(prompt, index);
    const { id, name, phrases } = parts(prompt);
    const item = element("li", {
      className: "chip", tabIndex: index === Math.max(this.chosen, 0) ? 0 : -1,
      draggable: this.allowed, title: prompt, "aria-label": prompt,
      "aria-current": String(index === this.chosen),
    });
    const swatch = element("span", { className: "swatch" });
    swatch.style.background = this.colour(name.replace(/^@/, "")); // examples alone: the class has their name
    const text = element("span", { className: "chip-text" }, name);
    if (id) text.prepend(element("small", { textContent: `${id} =` }), " ");
    if (phrases.length) text.append(" ", element("small", { textContent: phrases.join(", ") }));
    item.append(swatch, text);
    if (this.allowed) {
      const remove = element("button", {
        textContent: "×", className: "remove", tabIndex: -1, "aria-label": `Remove ${name}`,
      });
      remove.onclick = (event) => {
        event.stopPropagation();
        this.remove(index);
      };
      item.append(remove);
    }
    if (wrong) {
      item.classList.add("wrong");
      text.append(element("span", { className: "error", role: "alert", textContent: this.error }));
    }
    item.onclick = () => this.choose(index);
    item.ondblclick = () => this.edit(index);
    item.ondragstart = (event) => event.dataTransfer.setData("text/x-dinoiser", String(index));
    item.ondragover = (event) => event.preventDefault();
    item.ondrop = (event) => {
      event.preventDefault();
      const from = event.dataTransfer.getData("text/x-dinoiser");
      if (from !== "") this.move(Number(from), index);
    };
    return item;
  }

  editor(prompt, index) {
    const input = element("input", { value: prompt, maxLength: 2000, "aria-label": "Prompt" });
    let done = false;
    const finish = (keep) => {
      if (done) return;
      done = true;
      this.editing = -1;
      const text = input.value.trim();
      if (keep && text && text !== prompt) this.commit(this.shown.with(index, text), index);
      else this.render();
      this.list.children[index]?.focus();
    };
    input.onblur = () => finish(true);
    input.onkeydown = (event) => {
      event.stopPropagation();
      if (event.key === "Enter") finish(true);
      if (event.key === "Escape") finish(false);
    };
    setTimeout(() => input.focus());
    return element("li", { className: "chip editing" }, input);
  }

  choose(index) {
    this.chosen = index;
    this.render();
    this.list.children[index]?.focus();
  }

  edit(index) {
    if (!this.allowed) return;
    this.chosen = this.editing = index;
    this.render();
  }

  remove(index) {
    if (this.shown.length < 2) return;
    const rest = this.shown.filter((_, i) => i !== index);
    this.commit(rest, Math.min(index, rest.length - 1));
  }

  move(from, to) {
    if (to < 0 || to >= this.shown.length || from === to) return;
    const prompts = [...this.shown];
    prompts.splice(to, 0, ...prompts.splice(from, 1));
    this.commit(prompts, to);
  }

  group(index) {
    if (index < 1) return;
    const prompts = [...this.shown];
    prompts.splice(index - 1, 2, grouped(prompts[index - 1], prompts[index]));
    this.commit(prompts, index - 1);
  }

  split(index) {
    const { phrases } = parts(this.shown[index]);
    if (phrases.length) this.commit(this.shown.toSpliced(index, 1, ...phrases), index);
  }

  makeTools() {
    const tools = [
      ["◂ Move", () => this.move(this.chosen, this.chosen - 1), () => this.chosen > 0],
      ["Move ▸", () => this.move(this.chosen, this.chosen + 1), () => this.chosen < this.shown.length - 1],
      ["Edit", () => this.edit(this.chosen), () => true],
      ["Group with ◂", () => this.group(this.chosen), () => this.chosen > 0],
      ["Split", () => this.split(this.chosen), () => this.chosen >= 0 && parts(this.shown[this.chosen]).phrases.length > 0],
      ["Remove", () => this.remove(this.chosen), () => this.shown.length > 1],
    ];
    this.tools.append(...tools.map(([textContent, onclick, possible]) =>
      element("button", { textContent, onclick, possible })));
  }

  key(event) {
    const index = [...this.list.children].indexOf(document.activeElement);
    if (index < 0 || index >= this.shown.length || event.ctrlKey || event.metaKey) return;
    const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
    if (step && event.altKey) {
      if (this.allowed) this.move(index, index + step);
    } else if (step) {
      this.choose(Math.min(Math.max(index + step, 0), this.shown.length - 1));
    } else if (event.key === "Enter" || event.key === "F2") {
      this.edit(index);
    } else if (event.key === "Delete" || event.key === "Backspace") {
      if (this.allowed) this.remove(index);
    } else if (event.key.toLowerCase() === "g") {
      if (this.allowed) this.group(index);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

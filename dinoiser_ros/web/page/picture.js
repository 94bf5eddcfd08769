// SPDX-License-Identifier: Apache-2.0
// One camera: its newest picture on a canvas, classes painted over it, or a heat map.

import { element } from "./dom.js";
import { heat } from "./palette.js";

const HEAT_OPACITY = 0.7;
const HEAT_COLOURS = Array.from({ length: 256 }, (_, value) => heat(value / 255));

async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

/**
 * The view of one camera.
 * `style(id, name)` gives {colour, opacity} of a class; `onProbe(view, x, y, event)` and `onLeave()` tell of the
 * pointer; `onDrawn(view)` of a new picture. While `teach.on`, pointer and keys are for `teach`, see teach.js.
 */
export class PictureView {
  constructor(camera, { style, onProbe, onLeave, onDrawn, teach }) {
    this.camera = camera;
    this.style = style;
    this.onDrawn = onDrawn;
    this.header = null; // of the picture that is shown
    this.labels = null;
    this.heat = null; // rows of 0..255
    this.marks = null; // {points, box, corner} of what is being taught
    this.frozen = false;
    this.canvas = element("canvas", {
      width: 640, height: 480, tabIndex: 0, "aria-label": `Picture of ${camera}`, role: "img",
    });
    this.paint = document.createElement("canvas");
    this.note = element("p", { className: "view-note", textContent: "waiting for a picture" });
    this.caption = element("figcaption", {}, element("span", { textContent: camera }));
    this.root = element("figure", { className: "view" }, this.canvas, this.note, this.caption);
    this.cursor = [0.5, 0.5];
    const at = (event) => {
      const box = this.canvas.getBoundingClientRect();
      const place = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
      this.cursor = place.map((value) => Math.min(Math.max(value, 0), 0.9999));
      if (!teach.on) {
        if (event.type !== "pointerup") onProbe(this, ...this.cursor, event.clientX, event.clientY);
        return;
      }
      if (event.type === "pointerdown") this.canvas.setPointerCapture(event.pointerId);
      teach.pointer(event.type, this, this.cursor);
    };
    for (const type of ["pointermove", "pointerdown", "pointerup"]) this.canvas.addEventListener(type, at);
    this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && onLeave());
    this.canvas.addEventListener("blur", onLeave);
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      const plain = !event.ctrlKey && !event.metaKey && !event.altKey;
      if (!step && !(plain && teach.on && teach.key(event.key, this, this.cursor))) return;
      event.preventDefault();
      event.stopPropagation();
      if (!step) return;
      this.cursor = this.cursor.map((value, i) => Math.min(Math.max(value + step[i] * 0.02, 0), 0.9999));
      const box = this.canvas.getBoundingClientRect();
      const [x, y] = this.cursor;
      if (teach.on) this.draw();
      else onProbe(this, x, y, box.left + x * box.width, box.top + y * box.height);
    });
  }

  /** Show a message of the kind "picture"; resolves when it is drawn. */
  async show(message) {
    const jpeg = new Blob([new Uint8Array(message.content, 0, message.jpeg)], { type: "image/jpeg" });
    const deflated = message.content.slice(message.jpeg);
    const [bitmap, bytes] = await Promise.all([
      createImageBitmap(jpeg),
      deflated.byteLength ? inflate(deflated) : null,
    ]);
    if (this.bitmap) this.bitmap.close();
    this.bitmap = bitmap;
    this.labels = bytes && (message.wide ? new Uint16Array(bytes) : new Uint8Array(bytes));
    delete message.content;
    this.header = message;
    this.names = new Map(message.classes.map(([id, name]) => [id, name]));
    this.draw();
    this.onDrawn(this);
  }

  /** Paint again, after another picture, colour or heat map. */
  draw() {
    if (!this.bitmap) return;
    const { width, height } = this.bitmap;
    const { canvas } = this;
    if (canvas.width !== width || canvas.height !== height) {
      Object.assign(canvas, { width, height });
      canvas.style.setProperty("--aspect", width / height);
    }
    const context = canvas.getContext("2d");
    context.drawImage(this.bitmap, 0, 0);
    const layer = this.heat ? this.heatLayer() : this.classLayer(width, height);
    if (layer) {
      context.imageSmoothingEnabled = Boolean(this.heat);
      context.drawImage(layer, 0, 0, width, height);
    }
    if (document.activeElement === canvas && canvas.matches(":focus-visible")) this.drawCursor(context);
    if (this.marks) this.drawMarks(context, this.marks);
    this.note.hidden = Boolean(this.labels);
    if (!this.labels) this.note.textContent = "no masks: the picture alone";
  }

  classLayer(width, height) {
    if (!this.labels || this.labels.length !== width * height) return null;
    const table = new Uint32Array(this.header.wide ? 65536 : 256);
    const bytes = new Uint8ClampedArray(table.buffer);
    for (const [id, name] of this.names) {
      const { colour, opacity } = this.style(id, name);
      bytes.set([...colour, Math.round(255 * opacity)], 4 * id);
    }
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const { labels } = this;
    for (let i = 0; i < labels.length; i++) pixels[i] = table[labels[i]];
    return this.painted(image);
  }

  heatLayer() {
    const rows = this.heat;
    const image = new ImageData(rows[0].length, rows.length);
    rows.flat().forEach((value, i) => {
      image.data.set([...HEAT_COLOURS[value], Math.round(255 * HEAT_OPACITY)], 4 * i);
    });
    return this.painted(image);
  }

  painted(image) {
    Object.assign(this.paint, { width: image.width, height: image.height });
    this.paint.getContext("2d").putImageData(image, 0, 0);
    return this.paint;
  }

  drawCursor(context) {
    this.outline(context, (size, x, y) => context.arc(x, y, 7 * size, 0, 2 * Math.PI), this.cursor);
  }

  drawMarks(context, { points, box, corner }) {
    const cross = (size, x, y) => {
      for (const [dx, dy] of [[9 * size, 0], [0, 9 * size]]) {
        context.moveTo(x - dx, y - dy);
        context.lineTo(x + dx, y + dy);
      }
    };
    for (const place of corner ? [corner] : points) this.outline(context, cross, place);
    if (box) this.outline(context, (_, x, y, u, v) => context.rect(x, y, u - x, v - y), box);
  }

  /** Draw a shape in white on black, seen on any picture; it gets a pixel's size, and `places`: x, y, ... from 0 to 1. */
  outline(context, shape, places) {
    const { width, height, clientWidth } = this.canvas;
    const size = Math.max(width / (clientWidth || width), 0.5); // of a pixel of the page, on the canvas
    for (const [colour, thickness] of [["black", 4], ["white", 2]]) {
      context.strokeStyle = colour;
      context.lineWidth = thickness * size;
      context.beginPath();
      shape(size, ...places.map((value, i) => value * (i % 2 ? height : width)));
      context.stroke();
    }
  }

  /** The id and name of the class at a place (0 to 1), null for none. */
  classAt(x, y) {
    if (!this.labels) return null;
    const { width, height } = this.header;
    const id = this.labels[Math.floor(y * height) * width + Math.floor(x * width)];
    return this.names.has(id) ? { id, name: this.names.get(id) } : null;
  }
}

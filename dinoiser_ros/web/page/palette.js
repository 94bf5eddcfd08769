// SPDX-License-Identifier: Apache-2.0
// Colours of classes: as in ~/overlay, or a palette for colour-blind people.

const GOLDEN_RATIO = 0.6180339887;
const TONES = [[0.85, 0.95], [0.5, 0.85], [0.95, 0.55]]; // saturation and value

function fromHsv(hue, saturation, value) {
  const channel = (n) => {
    const k = (n + hue * 6) % 6;
    return Math.round(255 * value * (1 - saturation * Math.max(0, Math.min(k, 4 - k, 1))));
  };
  return [channel(5), channel(3), channel(1)];
}

const likeOverlay = (id) => fromHsv((id * GOLDEN_RATIO) % 1, ...TONES[id % TONES.length]);

// Okabe and Ito's eight, then the same darker and lighter: told apart also by brightness.
const OKABE_ITO = [
  [230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66],
  [0, 114, 178], [213, 94, 0], [204, 121, 167], [245, 245, 245],
];
const SHADES = [1, 0.55, 1.35];

function safe(id) {
  const shade = SHADES[Math.floor(id / OKABE_ITO.length) % SHADES.length];
  return OKABE_ITO[id % OKABE_ITO.length].map((part) =>
    Math.round(shade <= 1 ? part * shade : part + (255 - part) * (shade - 1)));
}

export const PALETTES = {
  overlay: { name: "as in ~/overlay", colour: likeOverlay },
  safe: { name: "colour-blind safe", colour: safe },
};

export const hex = (colour) => `#${colour.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
export const fromHex = (text) => [1, 3, 5].map((start) => parseInt(text.slice(start, start + 2), 16));

// Dark blue to yellow by way of violet and orange: brighter is more, in every kind of sight.
const HEAT = [[13, 8, 80], [106, 0, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]];

/** The colour of a probability from 0 to 1. */
export function heat(probability) {
  const place = Math.min(Math.max(probability, 0), 1) * (HEAT.length - 1);
  const low = Math.min(Math.floor(place), HEAT.length - 2);
  return HEAT[low].map((part, i) => Math.round(part + (HEAT[low + 1][i] - part) * (place - low)));
}

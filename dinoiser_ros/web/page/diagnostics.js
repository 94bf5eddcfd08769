// SPDX-License-Identifier: Apache-2.0
// Rates, latency, drops, device and the last error, from /diagnostics.

import { byId, element, preferences } from "./dom.js";

const LEVELS = ["ok", "warning", "error", "stale"];

/** The numbers in the page's head, of the first camera and of the node. */
function headline(statuses) {
  const node = statuses.find(({ part }) => part === "node")?.values || {};
  const camera = statuses.find(({ part }) => part !== "node")?.values || node;
  const known = (text) => text !== undefined && text !== "-";
  const found = [];
  if (known(camera.rate_out_hz)) found.push(`${Number(camera.rate_out_hz).toFixed(1)} masks/s`);
  if (known(camera.latency_median_ms)) found.push(`${Math.round(camera.latency_median_ms)} ms latency`);
  else if (known(camera.inference_median_ms)) found.push(`${Math.round(camera.inference_median_ms)} ms inference`);
  if (known(camera.drop_ratio)) found.push(`${Math.round(100 * camera.drop_ratio)} % dropped`);
  if (node.device) found.push(node.device);
  return found.join(" · ");
}

export function showDiagnostics(statuses) {
  byId("numbers").textContent = headline(statuses);
  const target = byId("diagnostics");
  const wasOpen = new Set([...target.querySelectorAll("details[open]")].map(({ dataset }) => dataset.part));
  target.replaceChildren(...statuses.map(({ part, level, message, values }) => {
    const lines = Object.entries(values).map(([name, value]) =>
      element("tr", {}, element("td", { textContent: name }), element("td", { textContent: value })));
    const details = element("details", { "data-part": part, open: wasOpen.has(part) || preferences.get("open diagnostics", false) },
      element("summary", {},
        element("span", { className: `level ${LEVELS[level] || "stale"}`, textContent: LEVELS[level] || "stale" }),
        ` ${part}: ${message}`),
      element("table", {}, ...lines));
    return details;
  }));
  const error = statuses.find(({ values }) => values.last_error)?.values.last_error;
  if (error) target.prepend(element("p", { className: "note", textContent: `Last error: ${error}` }));
}

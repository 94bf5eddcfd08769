// SPDX-License-Identifier: Apache-2.0
// Building the page. Texts become text nodes, never HTML.

export const byId = (id) => document.getElementById(id);

/** A new element: properties by name ("data-..." and "aria-..." as attributes), then children. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-")) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

/** Show a sentence in an element that is hidden without one. */
export function say(target, sentence) {
  target.textContent = sentence || "";
  target.hidden = !sentence;
}

/** Give a file to the person. */
export function download(name, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const percent = (share) => (share == null ? "–" : `${(100 * share).toFixed(share < 0.1 ? 1 : 0)} %`);

/** What somebody chose on this page, kept by the browser where that is allowed. */
export const preferences = {
  get(name, otherwise) {
    try {
      const text = localStorage.getItem(`dinoiser.${name}`);
      return text === null ? otherwise : JSON.parse(text);
    } catch {
      return otherwise;
    }
  },
  set(name, value) {
    try {
      localStorage.setItem(`dinoiser.${name}`, JSON.stringify(value));
    } catch {
      // Private windows may forbid it: then it holds until the page is closed.
    }
  },
};

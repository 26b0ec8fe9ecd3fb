// What the report does beyond being read: theme, runs behind points, table of runs, advice that follows sliders.
// Without it the page says the same, only still. It fetches nothing and writes text as text, never as markup.
// The files of this folder stand in the page as one script: tools, runs, laws, advice, start.
"use strict";

const byId = (id) => document.getElementById(id);

/** Make an element; children may be strings (always text) or elements, and a handler is given as `onclick: f`. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** Make a part of a drawing, as `make` does an element. */
function drawn(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const grouped = (value) => Number(value).toLocaleString("en-US", { maximumFractionDigits: 0 });
const digits = (value, count) =>
  Number.isFinite(value) ? value.toLocaleString("en-US", { maximumSignificantDigits: count }) : "–";

// ---- theme ----------------------------------------------------------------------------------------------------------

const THEMES = { auto: "Theme: as the system", dark: "Theme: dark", light: "Theme: light" };

function remembered() {
  try {
    return localStorage.getItem("tippingpoint-theme");
  } catch {
    return null; // a browser may keep nothing for pages from disk
  }
}

function showTheme(name) {
  document.documentElement.dataset.theme = name;
  byId("theme").textContent = THEMES[name];
  try {
    localStorage.setItem("tippingpoint-theme", name);
  } catch {
    // then the choice lasts as long as the page
  }
}

function startTheme() {
  const button = byId("theme");
  const names = Object.keys(THEMES);
  const first = remembered();
  showTheme(names.includes(first) ? first : "auto");
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = (names.indexOf(document.documentElement.dataset.theme) + 1) % names.length;
    showTheme(names[next]);
  });
}

// What the report does beyond being read: theme, runs behind points, table of runs, advice that follows sliders.
// Without it the page says the same, only still. It fetches nothing and writes text as text, never as markup.
"use strict";

// ---- small things ---------------------------------------------------------------------------------------------------

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

// ---- the runs -------------------------------------------------------------------------------------------------------

/** Return the cells of a CSV text, row by row; cells in quotes may hold commas, quotes and line ends. */
function readCsv(text) {
  const rows = [];
  const pattern = /("(?:[^"]|"")*"|[^,\n"]*)(,|\n|$)/g;
  let row = [];
  while (pattern.lastIndex < text.length) {
    const [, cell, end] = pattern.exec(text);
    row.push(cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell);
    if (end !== ",") {
      rows.push(row);
      row = [];
    }
  }
  return rows;
}

/** Return the table that the download link holds: its text, its columns and its rows. */
async function readRuns() {
  const packed = byId("runs-file").href.split("base64,")[1];
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const text = await new Response(stream).text();
  const [columns, ...rows] = readCsv(text);
  return { text, columns, rows };
}

function shortNumber(text) {
  const value = Number(text);
  return text === "" || !Number.isFinite(value) || Number.isInteger(value) ? text : String(Number(value.toPrecision(4)));
}

// ---- the runs behind a point ----------------------------------------------------------------------------------------

const NEAR = 14; // pixels

/** Return what stands in the box beside a point: one run in full, or one line for each of several. */
function described(runs, places, target) {
  const chosen = places.map((place) => runs.rows[place]).filter(Boolean);
  const cell = (row, name) => row[runs.columns.indexOf(name)] ?? "";
  const told = runs.shown.filter((name) => runs.columns.includes(name));
  if (chosen.length === 1) {
    const row = chosen[0];
    return ["One run", told.filter((name) => cell(row, name) !== "").map((name) => [name, shortNumber(cell(row, name))])];
  }
  const lines = chosen.slice(0, 12).map((row) => {
    const block = ["subset_seed", "seed"].map((name) => cell(row, name)).filter((text) => text !== "");
    return [`${cell(row, "recipe")}${block.length ? `, block ${block.join("·")}` : ""}`, shortNumber(cell(row, target))];
  });
  if (chosen.length > 12) lines.push(["and more", String(chosen.length - 12)]);
  return [`${chosen.length} runs: ${target}`, lines];
}

class Figure {
  constructor(svg, runs) {
    this.svg = svg;
    this.runs = runs;
    this.target = svg.closest("figure")?.dataset.target ?? "";
    this.marks = [...svg.querySelectorAll("use[data-runs]")].map((mark) => ({
      x: Number(mark.getAttribute("x")),
      y: Number(mark.getAttribute("y")),
      places: mark.dataset.runs.split(" ").map(Number),
    }));
    this.marks.sort((a, b) => a.x - b.x || a.y - b.y);
    this.at = -1;
    svg.addEventListener("pointermove", (event) => this.point(event));
    svg.addEventListener("pointerdown", (event) => this.point(event));
    svg.addEventListener("pointerleave", () => this.hide());
    svg.addEventListener("blur", () => this.hide());
    svg.addEventListener("keydown", (event) => this.step(event));
  }

  point(event) {
    const matrix = this.svg.getScreenCTM();
    const here = new DOMPoint(event.clientX, event.clientY).matrixTransform(matrix.inverse());
    let best = -1;
    let least = NEAR / matrix.a;
    this.marks.forEach((mark, place) => {
      const away = Math.hypot(mark.x - here.x, mark.y - here.y);
      if (away < least) [best, least] = [place, away];
    });
    if (best < 0) this.hide();
    else this.show(best, false);
  }

  step(event) {
    const last = this.marks.length - 1;
    const next = {
      ArrowRight: Math.min(this.at + 1, last),
      ArrowLeft: Math.max(this.at - 1, 0),
      Home: 0,
      End: last,
    }[event.key];
    if (event.key === "Escape") this.hide();
    if (next === undefined) return;
    event.preventDefault();
    this.show(next, true);
  }

  show(place, aloud) {
    const mark = this.marks[place];
    const tip = byId("tip");
    if (this.at !== place || tip.hidden) {
      this.at = place;
      const [title, lines] = described(this.runs, mark.places, this.target);
      const list = make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
      tip.replaceChildren(make("strong", {}, title), list);
      if (aloud) byId("said").textContent = `${title}. ${lines.map((line) => line.join(" ")).join("; ")}`;
      this.ring(mark);
    }
    tip.hidden = false;
    const spot = new DOMPoint(mark.x, mark.y).matrixTransform(this.svg.getScreenCTM());
    const { width, height } = tip.getBoundingClientRect();
    const room = { x: document.documentElement.clientWidth, y: innerHeight };
    const left = spot.x + 14 + width < room.x ? spot.x + 14 : spot.x - 14 - width;
    tip.style.left = `${Math.max(4, Math.min(left, room.x - width - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(spot.y - height / 2, room.y - height - 4))}px`;
  }

  ring(mark) {
    this.svg.querySelector(".ring")?.remove();
    this.svg.append(drawn("circle", { class: "ring", cx: mark.x, cy: mark.y, r: 6 }));
  }

  hide() {
    this.at = -1;
    byId("tip").hidden = true;
    this.svg.querySelector(".ring")?.remove();
  }
}

// ---- the table of runs ----------------------------------------------------------------------------------------------

const ROW = 30; // pixels; the same in style.css
const SPARE = 12; // rows drawn above and below what is seen

class RunsTable {
  constructor(place, runs, columns) {
    this.runs = runs;
    this.columns = columns;
    this.indices = columns.map((name) => runs.columns.indexOf(name));
    this.numeric = this.indices.map((index) => runs.rows.every((row) => row[index] === "" || isFinite(row[index])));
    this.words = runs.rows.map((row) => this.indices.map((index) => row[index]).join("\u0001").toLowerCase());
    this.order = runs.rows.map((_, row) => row);
    this.sorted = { column: -1, down: false };
    this.search = make("input", { type: "search", id: "runs-search", oninput: () => this.filter() });
    this.count = make("span", { role: "status" });
    this.body = make("tbody");
    this.heads = columns.map((name, column) => this.head(name, column));
    const label = "All runs; the heads sort, the box above searches.";
    this.frame = make(
      "div",
      { class: "scroll runs", tabindex: "0", role: "region", "aria-label": label, onscroll: () => this.draw() },
      make("table", { "aria-rowcount": runs.rows.length + 1 }, this.widths(), make("thead", {}, make("tr", {}, ...this.heads)), this.body),
    );
    const bar = make("p", { class: "bar" }, make("label", { for: "runs-search" }, "Search "), this.search, " ", this.count);
    place.replaceChildren(bar, this.frame);
    addEventListener("beforeprint", () => this.draw(40));
    addEventListener("afterprint", () => this.draw());
    this.filter();
  }

  /** Set every column's width once, by its longest cell, so that nothing jumps while rows come and go. */
  widths() {
    return make(
      "colgroup",
      {},
      ...this.indices.map((index, column) => {
        let most = this.columns[column].length + 3;
        for (const row of this.runs.rows) most = Math.max(most, shortNumber(row[index]).length);
        return make("col", { style: `width: ${Math.min(most, 40) + 2}ch` });
      }),
    );
  }

  head(name, column) {
    const button = make("button", { type: "button", onclick: () => this.sort(column) }, name);
    return make("th", { scope: "col", class: this.numeric[column] ? "number" : null }, button);
  }

  sort(column) {
    const down = this.sorted.column === column && !this.sorted.down;
    this.sorted = { column, down };
    this.heads.forEach((head, place) => {
      if (place === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    this.filter();
  }

  filter() {
    const wanted = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.order = this.words.flatMap((words, row) => (wanted.every((word) => words.includes(word)) ? [row] : []));
    const { column, down } = this.sorted;
    if (column >= 0) {
      const [index, numeric] = [this.indices[column], this.numeric[column]];
      const key = (row) => (numeric ? Number(this.runs.rows[row][index]) : this.runs.rows[row][index]);
      const empty = (row) => this.runs.rows[row][index] === "";
      const before = (a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0);
      // Empty cells stand last either way, and equal ones keep their order.
      this.order.sort((a, b) => empty(a) - empty(b) || (down ? before(b, a) : before(a, b)) || a - b);
    }
    const all = this.runs.rows.length;
    this.count.textContent = `${grouped(this.order.length)} of ${grouped(all)} runs`;
    this.frame.scrollTop = 0;
    this.draw();
  }

  /** Draw the rows that are seen, with empty space for those that are not; or the first few, for paper. */
  draw(few = 0) {
    const height = this.frame.clientHeight;
    const first = few ? 0 : Math.max(0, Math.floor(this.frame.scrollTop / ROW) - SPARE);
    const last = few || Math.min(this.order.length, Math.ceil((this.frame.scrollTop + height) / ROW) + SPARE);
    const space = (rows) => make("tr", { "aria-hidden": "true", style: `height: ${rows * ROW}px` }, make("td", { colspan: this.columns.length }));
    const drawn = this.order.slice(first, last).map((row, place) => {
      const cells = this.indices.map((index, column) =>
        make("td", { class: this.numeric[column] ? "number" : null, title: this.runs.rows[row][index] }, shortNumber(this.runs.rows[row][index])),
      );
      return make("tr", { "aria-rowindex": first + place + 2 }, ...cells);
    });
    if (first > 0) drawn.unshift(space(first));
    if (!few && last < this.order.length) drawn.push(space(this.order.length - last));
    this.body.replaceChildren(...drawn);
  }
}

function startDownload(runs) {
  const link = byId("runs-file");
  link.textContent = `Download all ${grouped(runs.rows.length)} runs as CSV`;
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const href = URL.createObjectURL(new Blob([runs.text], { type: "text/csv;charset=utf-8" }));
    make("a", { href, download: "runs.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(href), 10_000);
  });
}

// ---- advice: the laws themselves ------------------------------------------------------------------------------------

/** Return the law's value from floor, logs of coefficients, exponents (1 + 2k numbers from `start`) at log sizes. */
function lawAt(numbers, start, logs) {
  let total = numbers[start];
  const k = logs.length;
  for (let j = 0; j < k; j++) total += Math.exp(numbers[start + 1 + j] - numbers[start + 1 + k + j] * logs[j]);
  return total;
}

/** Return the quantile of sorted numbers, joined linearly as numpy does. */
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

/** Return the height of a broken line at x; its first and last pieces go on beyond its ends. */
function lineAt(xs, ys, x) {
  let piece = 0;
  while (piece < xs.length - 2 && x > xs[piece + 1]) piece++;
  return ys[piece] + ((ys[piece + 1] - ys[piece]) / (xs[piece + 1] - xs[piece])) * (x - xs[piece]);
}

/** Return the FLOPs of one training: a sum of parts, each a product of one factor for each size. */
function flopsAt(parts, sizes) {
  return parts.reduce((sum, { level, knots }) => {
    const terms = Object.entries(knots).map(([name, [xs, ys]]) => lineAt(xs, ys, Math.log(sizes[name])));
    return sum + Math.exp(terms.reduce((a, b) => a + b, level));
  }, 0);
}

const offered = (law, sizes) => !law.levels.n_params || law.levels.n_params.includes(sizes.n_params);

/** Return what every recipe comes to; `Plan.at` in planner.py is the same in Python. */
function offersAt(plan, sizes, prices) {
  const found = plan.laws.filter((law) => offered(law, sizes)).map((law) => {
    const logs = law.axes.map((axis) => Math.log(sizes[axis]));
    const width = 1 + 2 * logs.length;
    const draws = Float64Array.from({ length: law.draws.length / width }, (_, r) => lawAt(law.draws, r * width, logs));
    const sorted = draws.slice().sort();
    const tail = (1 - plan.level) / 2;
    const hours = plan.flops_per_hour ? flopsAt(law.flops, sizes) / plan.flops_per_hour : 0;
    return {
      law,
      draws,
      name: law.name,
      value: lawAt(law.parameters, 0, logs),
      low: quantile(sorted, tail),
      high: quantile(sorted, 1 - tail),
      images: law.levels.n_pretrain ? prices.image * sizes.n_pretrain : 0,
      labels: law.levels.n_finetune ? prices.label * sizes.n_finetune : 0,
      compute: prices.gpu_hour * hours,
      chance: 0,
    };
  });
  const count = found.length ? found[0].draws.length : 0;
  for (let r = 0; r < count; r++) {
    const best = found.reduce((a, b) => (b.draws[r] < a.draws[r] ? b : a));
    best.chance += 1 / count;
  }
  for (const offer of found) offer.cost = offer.images + offer.labels + offer.compute;
  return found;
}

function unpacked(plan) {
  for (const law of plan.laws) {
    const bytes = Uint8Array.from(atob(law.draws), (letter) => letter.charCodeAt(0));
    law.draws = new Float32Array(bytes.buffer);
    law.parameters = law.parameters.map((value) => (value === null ? -Infinity : value));
  }
  return plan;
}

// ---- advice: what is seen -------------------------------------------------------------------------------------------

const SIZES = { n_pretrain: "pretraining images", n_finetune: "fine-tuning images", n_params: "parameters" };
const PRICES = { image: "price of a pretraining image", label: "price of a labelled image", gpu_hour: "price of a GPU-hour" };
const LOOKS = [["blue", ""], ["vermillion", "8 4"], ["green", "2 3"], ["purple", "9 3 2 3"], ["olive", "5 2"]];
const FAR = 10; // how far beyond the data a slider goes, as `advise` does
const SURE = 0.8; // share of draws from which the best is called so without a second name
const STEPS = 600;
const [DEAREST, CHEAPEST] = [1000, 0.0001];

class Planner {
  constructor(plans) {
    this.plans = plans.map(unpacked);
    this.sizes = {};
    this.prices = { image: 0, label: 0, gpu_hour: 0 };
    this.choose(0);
    addEventListener("resize", () => this.show());
  }

  choose(place) {
    this.plan = this.plans[place];
    for (const [axis, levels] of Object.entries(this.plan.levels)) {
      const known = axis === "n_params" ? levels.includes(this.sizes[axis]) : this.sizes[axis] !== undefined;
      if (!known) this.sizes[axis] = levels[Math.floor(levels.length / 2)];
    }
    const choice = make(
      "select",
      { id: "plan-set", onchange: (event) => this.choose(Number(event.target.value)) },
      ...this.plans.map((plan, index) => make("option", { value: index, selected: index === place }, plan.scored)),
    );
    const controls = Object.keys(SIZES).filter((axis) => this.plan.levels[axis]).map((axis) => this.size(axis));
    const known = { image: this.plan.levels.n_pretrain, label: this.plan.levels.n_finetune, gpu_hour: this.plan.flops_per_hour };
    const priced = Object.keys(PRICES).filter((name) => known[name]);
    byId("plan-controls").replaceChildren(
      make("div", { class: "control" }, make("label", { for: "plan-set" }, "what is scored"), choice),
      ...controls,
      ...priced.map((name) => this.price(name)),
    );
    byId("plan-controls").hidden = false;
    this.show();
    if (document.activeElement === document.body && place) byId("plan-set").focus();
  }

  /** A slider and a box for the same number; the slider is on a log scale. */
  control(id, label, value, toValue, toStep, accept, limits = {}) {
    const shown = (number) => (Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(4))));
    const slider = make("input", { type: "range", id: `${id}-slider`, "aria-label": `${label}, slider`, min: 0, max: STEPS, ...limits });
    const box = make("input", { type: "number", id, min: 0, step: "any", inputmode: "decimal" });
    slider.value = toStep(value);
    box.value = shown(value);
    slider.addEventListener("input", () => {
      const next = toValue(Number(slider.value));
      box.value = shown(next);
      slider.setAttribute("aria-valuetext", box.value);
      accept(next);
    });
    box.addEventListener("input", () => {
      const next = Number(box.value);
      if (box.value === "" || !(next >= 0)) return;
      slider.value = toStep(next);
      accept(next);
    });
    slider.setAttribute("aria-valuetext", box.value);
    return make("div", { class: "control" }, make("label", { for: id }, label), slider, box);
  }

  size(axis) {
    const levels = this.plan.levels[axis];
    const id = `plan-${axis.replace("_", "-")}`;
    const accept = (value) => {
      if (!(value > 0)) return;
      this.sizes[axis] = value;
      this.show();
    };
    if (axis === "n_params") {
      const choice = make("select", { id, onchange: () => accept(Number(choice.value)) });
      choice.append(...levels.map((size) => make("option", { value: size, selected: size === this.sizes[axis] }, grouped(size))));
      return make("div", { class: "control" }, make("label", { for: id }, "model size (parameters)"), choice);
    }
    const [low, high] = [Math.max(1, levels[0] / FAR), levels.at(-1) * FAR];
    const span = Math.log(high / low);
    const toValue = (step) => Math.max(1, Math.round(Number((low * Math.exp((step / STEPS) * span)).toPrecision(3))));
    const toStep = (value) => Math.round((STEPS * Math.log(Math.max(value, low) / low)) / span);
    return this.control(id, SIZES[axis], this.sizes[axis], toValue, toStep, accept);
  }

  price(name) {
    const accept = (value) => {
      this.prices[name] = value;
      this.show();
    };
    const span = Math.log(DEAREST / CHEAPEST); // the slider's left end is free
    const toValue = (step) => (step === 0 ? 0 : Number((CHEAPEST * Math.exp((step / STEPS) * span)).toPrecision(2)));
    const toStep = (value) => (value <= 0 ? 0 : Math.round((STEPS * Math.log(Math.max(value, CHEAPEST) / CHEAPEST)) / span));
    return this.control(`plan-${name.replace("_", "-")}`, PRICES[name], this.prices[name], toValue, toStep, accept);
  }

  told(value, count = 3) {
    return this.plan.target === "error" ? `${digits(100 * value, count)}%` : digits(value, count);
  }

  show() {
    const offers = offersAt(this.plan, this.sizes, this.prices).sort((a, b) => a.value - b.value);
    const best = offers[0];
    byId("plan-answer").textContent = best ? this.sentence(best, offers) : "No recipe was run with a model of this size.";
    byId("plan-rows").replaceChildren(...offers.map((offer) => this.row(offer, offer === best)));
    const notes = [...(best ? this.steps(best) : []), ...this.limits(offers)];
    this.chart(offers);
    byId("plan-more").replaceChildren(...notes.map((note) => make("li", {}, note)));
  }

  sentence(best, offers) {
    const where = Object.keys(this.plan.levels).map((axis) => `${grouped(this.sizes[axis])} ${SIZES[axis]}`);
    const interval = `${digits(100 * this.plan.level, 3)}% interval ${this.told(best.low)} to ${this.told(best.high)}`;
    const sure = offers.length > 1 ? `, best in ${digits(100 * best.chance, 2)}% of the draws` : "";
    const cost = best.cost > 0 ? `, for ${digits(best.cost, 4)}` : "";
    const rival = offers.reduce((a, b) => (b !== best && (a === best || b.chance > a.chance) ? b : a), best);
    const close = rival !== best && best.chance < SURE && rival.chance > 1 - SURE;
    const doubt = close ? ` In ${digits(100 * rival.chance, 2)}% it is ${rival.name}: the runs do not settle it.` : "";
    const value = `${this.plan.measure} ${this.told(best.value)} (${interval})`;
    return `${best.name}: expected ${value}${sure}${cost}.${doubt} That is with ${where.join(", ")}.`;
  }

  row(offer, best) {
    const number = (value, text) => make("td", { class: "number" }, make("data", { value }, text));
    const cells = [
      number(offer.value, this.told(offer.value)),
      make("td", { class: "number" }, make("data", { value: offer.low }, this.told(offer.low)), " to ", make("data", { value: offer.high }, this.told(offer.high))),
      number(offer.chance, `${digits(100 * offer.chance, 2)}%`),
      ...["cost", "images", "labels", "compute"].map((part) => number(offer[part], digits(offer[part], 4))),
    ];
    const line = drawn("svg", { class: "swatch", viewBox: "0 0 26 10", "aria-hidden": "true" }, drawn("path", { d: "M0 5H26", ...this.look(offer) }));
    return make("tr", { class: best ? "best" : null }, make("th", { scope: "row" }, line, offer.name), ...cells);
  }

  /** The colour and dash of a recipe, in the chart and beside its name. */
  look(offer) {
    const place = this.plan.laws.indexOf(offer.law) % LOOKS.length;
    return { fill: "none", stroke: `var(--${LOOKS[place][0]})`, "stroke-width": 2, "stroke-dasharray": LOOKS[place][1] };
  }

  /** Draw what every recipe comes to over the pretraining images, all else as chosen. */
  chart(offers) {
    const levels = this.plan.levels.n_pretrain;
    const frame = byId("plan-chart");
    frame.hidden = !levels || levels.length < 2 || offers.length === 0;
    if (frame.hidden) return;
    const [width, height, left, bottom, top] = [Math.max(260, frame.clientWidth), 250, 52, 36, 12];
    const here = this.sizes.n_pretrain;
    const ends = [Math.min(levels[0], here), Math.max(levels.at(-1), here)];
    const xs = Array.from({ length: 41 }, (_, step) => ends[0] * (ends[1] / ends[0]) ** (step / 40));
    const at = xs.map((n) => new Map(offersAt(this.plan, { ...this.sizes, n_pretrain: n }, this.prices).map((one) => [one.name, one])));
    const values = at.flatMap((offersThere) => [...offersThere.values()].flatMap((one) => [one.value, one.low, one.high]));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const x = (n) => left + ((width - left - 30) * Math.log(n / ends[0])) / Math.log(ends[1] / ends[0]);
    const y = (value) => top + ((height - top - bottom) * (most - value)) / (most - least || 1);
    const path = (points) => `M${points.map(([n, value]) => `${x(n).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}`;
    const text = (words, attributes) => drawn("text", { "font-size": 12, fill: "var(--muted)", ...attributes }, words);
    const parts = [];
    for (let step = 0; step <= 4; step++) {
      const value = least + ((most - least) * step) / 4;
      parts.push(drawn("path", { d: `M${left} ${y(value)}H${width - 30}`, stroke: "var(--line)" }));
      parts.push(text(this.told(value, 2), { x: left - 6, y: y(value) + 4, "text-anchor": "end" }));
    }
    let free = Infinity; // ticks from the largest size down, where there is room
    for (const size of [...levels].reverse()) {
      if (x(size) > free) continue;
      free = x(size) - 52;
      parts.push(text(grouped(size), { x: x(size), y: height - bottom + 16, "text-anchor": "middle" }));
    }
    parts.push(text("pretraining images", { x: (left + width) / 2, y: height - 4, "text-anchor": "middle" }));
    for (const offer of offers) {
      const there = xs.map((n, place) => [n, at[place].get(offer.name)]);
      const band = [...there.map(([n, one]) => [n, one.low]), ...there.reverse().map(([n, one]) => [n, one.high])];
      const look = this.look(offer);
      parts.push(drawn("path", { d: `${path(band)}Z`, fill: look.stroke, "fill-opacity": 0.13 }));
      parts.push(drawn("path", { d: path(there.map(([n, one]) => [n, one.value])), ...look }));
    }
    parts.push(drawn("path", { d: `M${x(here)} ${top}V${height - bottom}`, stroke: "var(--ink)", "stroke-dasharray": "4 3" }));
    const label = `Expected ${this.plan.measure} of each recipe over the pretraining images; the table has the numbers at your sizes.`;
    frame.replaceChildren(drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...parts));
  }

  /** Say what doubling each amount, or the next model, would bring to the best recipe. */
  steps(best) {
    const found = [];
    const models = best.law.levels.n_params ?? [];
    const larger = models[models.indexOf(this.sizes.n_params) + 1];
    const tries = ["n_pretrain", "n_finetune"].filter((axis) => best.law.levels[axis]).map((axis) => [axis, 2 * this.sizes[axis], `Twice the ${SIZES[axis]}`]);
    if (larger) tries.push(["n_params", larger, `The next larger model (${grouped(larger)} parameters)`]);
    for (const [axis, size, words] of tries) {
      const next = offersAt(this.plan, { ...this.sizes, [axis]: size }, this.prices).find((offer) => offer.name === best.name);
      if (!next) continue;
      const gain = best.value - next.value;
      const unit = this.plan.target === "error" ? `${digits(100 * Math.abs(gain), 2)} percentage points` : digits(Math.abs(gain), 2);
      const more = next.cost - best.cost;
      const price = more > 0 ? ` for ${digits(more, 3)} more` : "";
      found.push(`${words}: ${unit} ${gain >= 0 ? "less" : "more"}${price}.`);
    }
    return found;
  }

  limits(offers) {
    const found = [];
    for (const axis of ["n_pretrain", "n_finetune"]) {
      const levels = this.plan.levels[axis];
      if (!levels) continue;
      const [size, most, least] = [this.sizes[axis], levels.at(-1), levels[0]];
      if (size > most) found.push(`${grouped(size)} ${SIZES[axis]} are ${digits(size / most, 2)} times the most that were run: the laws are extrapolated.`);
      if (size < least) found.push(`${grouped(size)} ${SIZES[axis]} are ${digits(least / size, 2)} times fewer than were run: the laws are extrapolated.`);
    }
    for (const offer of offers) {
      if (offer.value >= offer.low && offer.value <= offer.high) continue;
      found.push(`${offer.name}: the best fit lies outside its own interval here; trust the interval.`);
    }
    const missing = this.plan.laws.filter((law) => !offers.some((offer) => offer.law === law)).map((law) => law.name);
    if (missing.length) found.push(`Not run with a model of this size: ${missing.join("; ")}.`);
    return found;
  }
}

// ---- start ----------------------------------------------------------------------------------------------------------

async function start() {
  startTheme();
  const plans = JSON.parse(byId("plans")?.textContent ?? "[]");
  if (plans.length) new Planner(plans);
  const view = byId("runs-view");
  if (!view || typeof DecompressionStream === "undefined") return; // the still table stays
  const runs = await readRuns();
  runs.shown = JSON.parse(view.dataset.shown);
  startDownload(runs);
  new RunsTable(view, runs, JSON.parse(view.dataset.columns));
  for (const svg of document.querySelectorAll("svg[tabindex]")) new Figure(svg, runs);
  document.documentElement.dataset.ready = "yes";
}

start();

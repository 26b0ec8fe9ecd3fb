// ---- chart: means over sizes, one line for each model, drawn at the width that there is ---------------------------------

const INKS = ["--blue", "--vermillion", "--green", "--purple", "--slate"];
const DASHES = ["", "7 4", "2 3", "9 4 2 4", "4 4"];
const MARKS = [
  (x, y) => drawn("circle", { cx: x, cy: y, r: 4 }),
  (x, y) => drawn("rect", { x: x - 3.6, y: y - 3.6, width: 7.2, height: 7.2 }),
  (x, y) => drawn("path", { d: `M${x} ${y - 4.8}l4.6 8.2h-9.2z` }),
  (x, y) => drawn("path", { d: `M${x} ${y - 5}l5 5l-5 5l-5-5z` }),
  (x, y) => drawn("path", { d: `M${x} ${y + 4.8}l4.6-8.2h-9.2z` }),
];

/** Say how a line looks: its colour by recipe, its dash and mark by its place among the recipe's models. */
function looksOf(series) {
  const seen = new Map();
  return series.map((one) => {
    const place = seen.get(one.recipe) ?? 0;
    seen.set(one.recipe, place + 1);
    const ink = `var(${INKS[one.recipe % INKS.length]})`;
    const turn = one.recipe + Math.floor(one.recipe / INKS.length) + place; // another dash where colours begin again
    return { ink, dash: DASHES[turn % DASHES.length], mark: MARKS[turn % MARKS.length] };
  });
}

function shortSize(value) {
  for (const [factor, mark] of [[1e9, "B"], [1e6, "M"], [1e3, "K"]]) {
    if (value >= factor) return digits(value / factor, 3) + mark;
  }
  return digits(value, 3);
}

/** Round ticks between two values, about `count` of them. */
function ticksBetween(low, high, count) {
  const raw = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5].find((one) => one * power >= raw) ?? 10);
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9) * step; at <= high + step * 1e-9; at += step) found.push(at + 0); // never -0
  return found;
}

/** Where values of x lie; sizes logarithmically, steps not. */
function scaleOf(xs, linear, left, right) {
  const low = xs[0];
  const high = xs[xs.length - 1];
  const turn = low > 0 && !linear ? Math.log : (value) => value;
  const span = turn(high) - turn(low);
  return (value) => (span ? left + ((turn(value) - turn(low)) / span) * (right - left) : (left + right) / 2);
}

function drawChart(panel, target, width, described) {
  const [height, left, right, top, bottom] = [Math.max(240, Math.min(400, width * 0.5)), 52, width - 16, 22, 44];
  const lines = panel.series.map((one) => (one.points[target] ?? []).filter((point) => point[0] !== null));
  const points = lines.flat();
  const svg = drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": described });
  if (!points.length) return svg;
  const xs = [...new Set(points.map((point) => point[0]))].sort((a, b) => a - b);
  const [low, high] = [Math.min(...points.map((one) => one[2])), Math.max(...points.map((one) => one[3]))];
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  const x = scaleOf(xs, panel.linear, left + 16, right - 18);
  const marked = panel.linear ? ticksBetween(xs[0], xs[xs.length - 1], width / 75) : xs;
  const y = (value) => height - bottom - ((value - low + room) / (high - low + 2 * room)) * (height - bottom - top);
  for (const value of ticksBetween(low - room, high + room, 5)) {
    svg.append(drawn("line", { class: "grid", x1: left, x2: right, y1: y(value), y2: y(value) }));
    const label = digits(Math.abs(value) < 1e-12 ? 0 : value, 4);
    svg.append(drawn("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, label));
  }
  let last = Infinity;
  for (const value of [...marked].reverse()) {
    if (last - x(value) < 44) continue;
    last = x(value);
    svg.append(drawn("line", { class: "axis", x1: last, x2: last, y1: height - bottom, y2: height - bottom + 5 }));
    svg.append(drawn("text", { x: last, y: height - bottom + 18, "text-anchor": "middle" }, shortSize(value)));
  }
  svg.append(drawn("line", { class: "axis", x1: left, x2: right, y1: height - bottom, y2: height - bottom }));
  svg.append(drawn("text", { x: (left + right) / 2, y: height - 6, "text-anchor": "middle" }, panel.axis));
  svg.append(drawn("text", { x: 4, y: 13 }, panel.targets[target]));
  const looks = looksOf(panel.series);
  const aside = panel.linear ? 0 : Math.min(4, 24 / lines.length); // so that bars at one size do not hide each other
  lines.forEach((line, place) => {
    const moved = (value) => x(value) + aside * (place - (lines.length - 1) / 2);
    svg.append(panel.linear ? drawCurve(line, looks[place], x, y, panel.series[place].running) : drawLine(line, looks[place], moved, y));
  });
  return svg;
}

function drawPath(line, look, x, y) {
  const group = drawn("g", { style: `stroke: ${look.ink}; fill: ${look.ink}` });
  const path = line.map((point, place) => `${place ? "L" : "M"}${x(point[0]).toFixed(1)} ${y(point[1]).toFixed(1)}`);
  group.append(drawn("path", { d: path.join(""), fill: "none", "stroke-width": 1.8, "stroke-dasharray": look.dash }));
  return group;
}

/** A training curve; a dot ends it where the training goes on. */
function drawCurve(line, look, x, y, running) {
  const group = drawPath(line, look, x, y);
  const [step, loss] = line[line.length - 1];
  if (running || line.length === 1) group.append(drawn("circle", { cx: x(step), cy: y(loss), r: running ? 5 : 2.5 }));
  return group;
}

function drawLine(line, look, x, y) {
  const group = drawPath(line, look, x, y);
  for (const [size, mean, least, most] of line) {
    group.append(drawn("line", { x1: x(size), x2: x(size), y1: y(least), y2: y(most), "stroke-width": 1.2 }));
    group.append(look.mark(x(size), y(mean)));
  }
  return group;
}

function drawKey(panel) {
  const looks = looksOf(panel.series);
  return make("ul", { class: "legend" }, ...panel.series.map((one, place) => {
    const look = looks[place];
    const line = drawn("line", { x1: 0, x2: 36, y1: 7, y2: 7, "stroke-width": 2, "stroke-dasharray": look.dash });
    const sample = drawn("svg", { viewBox: "0 0 36 14", "aria-hidden": "true", style: `stroke: ${look.ink}; fill: ${look.ink}` });
    sample.append(line, ...(panel.linear ? [] : [look.mark(18, 7)]));
    if (one.running) sample.append(drawn("circle", { cx: 31, cy: 7, r: 4.5 }));
    return make("li", {}, sample, make("span", {}, one.name, one.running ? ", still running" : ""));
  }));
}

/** The numbers of a chart as a table with a caption, sizes from left to right. */
function meansTable(panel, target) {
  const sizes = new Set(panel.series.flatMap((one) => (one.points[target] ?? []).map((point) => point[0])));
  const ordered = [...sizes].sort((a, b) => (a ?? -1) - (b ?? -1));
  const rows = panel.series.map((one) => {
    const known = new Map((one.points[target] ?? []).map((point) => [point[0], point]));
    const cells = ordered.map((size) => {
      const point = known.get(size);
      const runs = point && point[4] > 1 ? ` (${point[4]})` : "";
      return point ? digits(point[1], 4) + runs : "–";
    });
    return [one.name, ...cells];
  });
  const caption = `${panel.targets[target]} by ${panel.axis}: means, in brackets of how many runs`;
  return tableOf(caption, ["model", ...ordered.map((size) => (size === null ? "none" : grouped(size)))], rows);
}

/** Where each training curve stands, as a table with a caption. */
function lastTable(panel, target) {
  const rows = panel.series.map((one) => {
    const [step, value] = one.points[target][one.points[target].length - 1];
    return [one.name, one.running ? "still running" : "finished", grouped(step), digits(value, 4)];
  });
  const caption = `${panel.title}: ${panel.targets[target]} at the last point of each curve`;
  return tableOf(caption, ["training", "state", "step", panel.targets[target]], rows);
}

/** A table whose first column names the rows and whose others, but words, are numbers. */
function tableOf(caption, head, rows) {
  const isNumber = head.map((_, place) => place > 0 && rows.every((row) => /^[–\d-]/.test(row[place])));
  const look = (place) => (isNumber[place] ? "number" : "");
  const body = rows.map(([name, ...cells]) => make("tr", {}, make("th", { scope: "row" }, name),
    ...cells.map((text, place) => make("td", { class: look(place + 1) }, text))));
  const heads = head.map((text, place) => make("th", { scope: "col", class: look(place) }, text));
  const table = make("table", {}, make("caption", {}, make("span", {}, caption)),
    make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body));
  return { caption, table };
}

/** Charts with a choice of panel and target; what was chosen stays chosen when there are new numbers. */
class Charts {
  constructor(section, { tabled, about }) {
    this.body = section.querySelector(".body");
    this.name = section.id;
    this.tabled = tabled;
    this.about = about;
    this.panels = [];
    this.chosen = { title: null, target: null };
    this.width = 0;
    new ResizeObserver(() => this.body.clientWidth !== this.width && this.panels.length && this.draw()).observe(this.body);
  }

  show(panels) {
    this.panels = panels.filter((panel) => Object.keys(panel.targets).length);
    if (!this.panels.length) return;
    if (!this.picks) {
      this.picks = make("div", { class: "pick" });
      this.plot = make("div", { class: "plot" });
      this.region = make("div", { class: "scroll", tabindex: "0", role: "region" }); // it stays, and so does the focus
      this.body.replaceChildren(this.picks, this.plot, make("details", {}, make("summary", {}, "The numbers"), this.region));
    }
    this.draw();
  }

  panel() {
    return this.panels.find((one) => one.title === this.chosen.title) ?? this.panels[0];
  }

  draw() {
    this.width = this.body.clientWidth;
    const panel = this.panel();
    const targets = Object.keys(panel.targets);
    const target = targets.includes(this.chosen.target) ? this.chosen.target : targets[0];
    this.choose("title", "Which runs", this.panels.map((one) => [one.title, one.title]), panel.title);
    this.choose("target", "What is measured", targets.map((one) => [one, panel.targets[one]]), target);
    const lines = panel.series.filter((one) => (one.points[target] ?? []).some((point) => point[0] !== null));
    const count = lines.length;
    const going = lines.filter((one) => one.running).length;
    const described = `${panel.title}: ${panel.targets[target]} over ${panel.axis}, ${count} line${count === 1 ? "" : "s"}` +
      `${going ? `, ${going} of them still running` : ""}.`;
    const shown = { ...panel, series: lines };
    const unsized = panel.series.filter((one) => !lines.includes(one)).map((one) => one.name);
    const left = [
      going && "A dot ends the curve of a training that is still running.",
      unsized.length && `Without ${panel.axis}, so only among the numbers: ${unsized.join("; ")}.`,
      panel.left_out && `${panel.left_out} more models are not shown.`,
      panel.running_left_out && `${panel.running_left_out} more running trainings are not shown.`,
    ].filter(Boolean);
    this.plot.replaceChildren(drawChart(shown, target, Math.max(260, Math.min(960, this.width)), described),
      drawKey(shown), ...[this.about, ...left].map((text) => make("p", { class: "muted" }, text)));
    const { caption, table } = this.tabled(panel, target);
    this.region.setAttribute("aria-label", caption);
    this.region.replaceChildren(table);
  }

  choose(what, words, options, now) {
    const id = `${this.name}-pick-${what}`;
    let select = byId(id);
    if (!select) {
      const changed = () => {
        this.chosen[what] = select.value;
        this.draw();
      };
      select = make("select", { id, onchange: changed });
      this.picks.append(make("label", {}, words, select));
    }
    const told = JSON.stringify(options);
    if (select.dataset.told !== told) {
      select.replaceChildren(...options.map(([value, text]) => make("option", { value }, text)));
      select.dataset.told = told;
    }
    select.value = now;
    select.parentElement.hidden = options.length < 2;
  }
}

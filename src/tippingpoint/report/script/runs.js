// The runs: read from the download link, shown beside points, and as a table to search and sort.

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
  return text === "" || !Number.isFinite(value) || Number.isInteger(value)
    ? text
    : String(Number(value.toPrecision(4)));
}

// ---- the runs behind a point ----------------------------------------------------------------------------------------

const NEAR = 14; // pixels
const NARROW = 560; // below this a window is a phone's

/** Return what stands in the box beside a point: one run in full, or one line for each of several. */
function described(runs, places, target) {
  const chosen = places.map((place) => runs.rows[place]).filter(Boolean);
  const cell = (row, name) => row[runs.columns.indexOf(name)] ?? "";
  if (chosen.length === 1) {
    const row = chosen[0];
    return [
      "One run",
      runs.shown.filter((name) => cell(row, name) !== "").map((name) => [name, shortNumber(cell(row, name))]),
    ];
  }
  const lines = chosen.slice(0, 12).map((row) => {
    const block = ["subset_seed", "seed"].map((name) => cell(row, name)).filter((text) => text !== "");
    return [
      `${cell(row, "recipe")}${block.length ? `, block ${block.join("·")}` : ""}`,
      shortNumber(cell(row, target)),
    ];
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
    // On a phone it would cover the figure: there it stands at the foot of the screen, or at its head.
    const foot = room.y - height - 4;
    const top = room.x >= NARROW ? spot.y - height / 2 : spot.y + 24 < foot ? foot : 4;
    tip.style.left = `${Math.max(4, Math.min(left, room.x - width - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(top, foot))}px`;
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
    this.words = runs.rows.map((row) =>
      this.indices
        .map((index) => row[index])
        .join("\u0001")
        .toLowerCase(),
    );
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
      make(
        "table",
        { "aria-rowcount": runs.rows.length + 1 },
        this.widths(),
        make("thead", {}, make("tr", {}, ...this.heads)),
        this.body,
      ),
    );
    const bar = make(
      "p",
      { class: "bar" },
      make("label", { for: "runs-search" }, "Search "),
      this.search,
      " ",
      this.count,
    );
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
    const space = (rows) =>
      make(
        "tr",
        { "aria-hidden": "true", style: `height: ${rows * ROW}px` },
        make("td", { colspan: this.columns.length }),
      );
    const drawn = this.order.slice(first, last).map((row, place) => {
      const cells = this.indices.map((index, column) =>
        make(
          "td",
          { class: this.numeric[column] ? "number" : null, title: this.runs.rows[row][index] },
          shortNumber(this.runs.rows[row][index]),
        ),
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

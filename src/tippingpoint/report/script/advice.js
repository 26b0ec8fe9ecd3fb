// Sliders, the chart and the table that follow them.

const SIZES = { n_pretrain: "pretraining images", n_finetune: "fine-tuning images", n_params: "parameters" };
const PRICES = {
  image: "price of a pretraining image",
  label: "price of a labelled image",
  gpu_hour: "price of a GPU-hour",
};
const LOOKS = [
  ["blue", ""],
  ["vermillion", "8 4"],
  ["green", "2 3"],
  ["purple", "9 3 2 3"],
  ["slate", "5 2"],
];
const FAR = 10; // how far beyond the data a slider goes, as `advise` does
const SURE = 0.8; // share of draws from which the best is called so without a second name
const STEPS = 600;
const LETTER = 7.5; // no digit of the chart is wider
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
      const some = axis !== "n_params" && levels.length > 1;
      const known = some ? this.sizes[axis] !== undefined : levels.includes(this.sizes[axis]);
      if (!known) this.sizes[axis] = levels[Math.floor(levels.length / 2)];
    }
    const choice = make(
      "select",
      { id: "plan-set", onchange: (event) => this.choose(Number(event.target.value)) },
      ...this.plans.map((plan, index) => make("option", { value: index, selected: index === place }, plan.scored)),
    );
    const controls = Object.keys(SIZES)
      .filter((axis) => this.plan.levels[axis] && (axis === "n_params" || this.plan.levels[axis].length > 1))
      .map((axis) => this.size(axis));
    const known = {
      image: this.plan.levels.n_pretrain,
      label: this.plan.levels.n_finetune,
      gpu_hour: this.plan.flops_per_hour,
    };
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
    const slider = make("input", {
      type: "range",
      id: `${id}-slider`,
      "aria-label": `${label}, slider`,
      min: 0,
      max: STEPS,
      ...limits,
    });
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
      choice.append(
        ...levels.map((size) => make("option", { value: size, selected: size === this.sizes[axis] }, grouped(size))),
      );
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
    const toStep = (value) =>
      value <= 0 ? 0 : Math.round((STEPS * Math.log(Math.max(value, CHEAPEST) / CHEAPEST)) / span);
    return this.control(`plan-${name.replace("_", "-")}`, PRICES[name], this.prices[name], toValue, toStep, accept);
  }

  told(value, count = 3) {
    return this.plan.target === "error" ? `${digits(100 * value, count)}%` : digits(value, count);
  }

  show() {
    const offers = offersAt(this.plan, this.sizes, this.prices).sort((a, b) => a.value - b.value);
    const best = offers[0];
    byId("plan-answer").textContent = best
      ? this.sentence(best, offers)
      : "No recipe was run with a model of this size.";
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
      make(
        "td",
        { class: "number" },
        make("data", { value: offer.low }, this.told(offer.low)),
        " to ",
        make("data", { value: offer.high }, this.told(offer.high)),
      ),
      number(offer.chance, `${digits(100 * offer.chance, 2)}%`),
      ...["cost", "images", "labels", "compute"].map((part) => number(offer[part], digits(offer[part], 4))),
    ];
    const line = drawn(
      "svg",
      { class: "swatch", viewBox: "0 0 26 10", "aria-hidden": "true" },
      drawn("path", { d: "M0 5H26", ...this.look(offer) }),
    );
    return make("tr", { class: best ? "best" : null }, make("th", { scope: "row" }, line, offer.name), ...cells);
  }

  /** The colour and dash of a recipe, in the chart and beside its name. */
  look(offer) {
    const place = this.plan.laws.indexOf(offer.law);
    const turn = Math.floor(place / LOOKS.length); // where colours begin again, the dashes are others
    return {
      fill: "none",
      stroke: `var(--${LOOKS[place % LOOKS.length][0]})`,
      "stroke-width": 2,
      "stroke-dasharray": LOOKS[(place + turn) % LOOKS.length][1],
    };
  }

  /** Values as ticks, with as many digits as tell them apart. */
  apart(values) {
    const most = 8; // where even these are one, the values are
    let told = [];
    for (let count = 2; count <= most && new Set(told).size < values.length; count++)
      told = values.map((value) => this.told(value, count));
    return told;
  }

  /** Draw what every recipe comes to over the pretraining images, all else as chosen. */
  chart(offers) {
    const levels = this.plan.levels.n_pretrain;
    const frame = byId("plan-chart");
    frame.hidden = !levels || levels.length < 2 || offers.length === 0;
    if (frame.hidden) return;
    const here = this.sizes.n_pretrain;
    const ends = [Math.min(levels[0], here), Math.max(levels.at(-1), here)];
    const xs = Array.from({ length: 41 }, (_, step) => ends[0] * (ends[1] / ends[0]) ** (step / 40));
    const at = xs.map(
      (n) => new Map(offersAt(this.plan, { ...this.sizes, n_pretrain: n }, this.prices).map((one) => [one.name, one])),
    );
    const values = at.flatMap((offersThere) =>
      [...offersThere.values()].flatMap((one) => [one.value, one.low, one.high]),
    );
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const marks = Array.from({ length: 5 }, (_, step) => least + ((most - least) * step) / 4);
    const told = this.apart(marks);
    const room = LETTER * Math.max(...told.map((words) => words.length));
    const [width, height, left, bottom, top] = [Math.max(260, frame.clientWidth), 250, Math.max(52, room + 12), 36, 12];
    const wide = LETTER * grouped(levels.at(-1)).length;
    const right = Math.max(30, wide / 2 + 2);
    const x = (n) => left + ((width - left - right) * Math.log(n / ends[0])) / Math.log(ends[1] / ends[0]);
    const y = (value) => top + ((height - top - bottom) * (most - value)) / (most - least || 1);
    const path = (points) => `M${points.map(([n, value]) => `${x(n).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}`;
    const text = (words, attributes) => drawn("text", { "font-size": 12, fill: "var(--muted)", ...attributes }, words);
    const parts = [];
    for (const [step, value] of marks.entries()) {
      parts.push(drawn("path", { d: `M${left} ${y(value)}H${width - right}`, stroke: "var(--line)" }));
      parts.push(text(told[step], { x: left - 6, y: y(value) + 4, "text-anchor": "end" }));
    }
    let free = Infinity; // ticks from the largest size down, where there is room
    for (const size of [...levels].reverse()) {
      if (x(size) > free) continue;
      free = x(size) - Math.max(52, wide + 6);
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
    parts.push(
      drawn("path", { d: `M${x(here)} ${top}V${height - bottom}`, stroke: "var(--ink)", "stroke-dasharray": "4 3" }),
    );
    const label = `Expected ${this.plan.measure} of each recipe over the pretraining images; the table has the numbers at your sizes.`;
    frame.replaceChildren(
      drawn("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label }, ...parts),
    );
  }

  /** Say what doubling each amount, or the next model, would bring to the best recipe. */
  steps(best) {
    const found = [];
    const models = best.law.levels.n_params ?? [];
    const larger = models[models.indexOf(this.sizes.n_params) + 1];
    const tries = ["n_pretrain", "n_finetune"]
      .filter((axis) => best.law.axes.includes(axis))
      .map((axis) => [axis, 2 * this.sizes[axis], `Twice the ${SIZES[axis]}`]);
    if (larger && best.law.axes.includes("n_params"))
      tries.push(["n_params", larger, `The next larger model (${grouped(larger)} parameters)`]);
    for (const [axis, size, words] of tries) {
      const next = offersAt(this.plan, { ...this.sizes, [axis]: size }, this.prices).find(
        (offer) => offer.name === best.name,
      );
      if (!next) continue;
      const gain = best.value - next.value;
      const unit =
        this.plan.target === "error"
          ? `${digits(100 * Math.abs(gain), 2)} percentage points`
          : digits(Math.abs(gain), 2);
      const more = next.cost - best.cost;
      const price = more > 0 ? ` for ${digits(more, 3)} more` : "";
      const shown = Math.abs(gain) >= 1e-6 * Math.abs(best.value); // less is how a term looks that fell to nothing
      found.push(`${words}: ${shown ? `${unit} ${gain >= 0 ? "less" : "more"}` : "no difference"}${price}.`);
    }
    return found;
  }

  limits(offers) {
    const found = [];
    for (const axis of ["n_pretrain", "n_finetune"]) {
      const levels = this.plan.levels[axis];
      if (!levels) continue;
      const [size, most, least] = [this.sizes[axis], levels.at(-1), levels[0]];
      if (levels.length === 1)
        found.push(`All runs have ${grouped(most)} ${SIZES[axis]}: they do not tell what others would bring.`);
      if (size > most)
        found.push(
          `${grouped(size)} ${SIZES[axis]} are ${digits(size / most, 2)} times the most that were run: the laws are extrapolated.`,
        );
      if (size < least)
        found.push(
          `${grouped(size)} ${SIZES[axis]} are ${digits(least / size, 2)} times fewer than were run: the laws are extrapolated.`,
        );
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

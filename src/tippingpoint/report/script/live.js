// ---- the live page: asks how the study stands, and shows it; every word of it is text, never markup --------------------
// The one piece of markup is the report's own first screen, which the report has escaped; the page's policy lets nothing
// in it run.

const EVERY = 2000; // milliseconds between two questions
const WORDS = { done: "done", running: "running", failed: "failed", blocked: "waiting for a failed cell", todo: "to do" };
const STATES = {
  running: "running", done: "done", failed: "ended, some cells failed", interrupted: "interrupted",
  silent: "silent", gone: "gone", empty: "nothing published yet", unknown: "unknown",
};

const seen = { results: 0, curves: 0, answer: 0 };
const shown = new Map();
const charts = {};
let answer = null;
let told = null;

function lasts(seconds) {
  if (seconds === null) return null;
  const whole = Math.round(seconds);
  const two = (value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole >= 345600) return `${grouped(whole / 86400)} days`;
  return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
}

/** Draw a part anew only if what it shows is another: what is focused, opened or scrolled stays as it is. */
function renew(name, value, draw) {
  const text = JSON.stringify(value);
  if (shown.get(name) === text) return;
  shown.set(name, text);
  draw(value);
}

function listIn(element, texts) {
  element.hidden = !texts.length;
  element.querySelector("ul").replaceChildren(...texts.map((text) => make("li", {}, text)));
}

function sentence(now, total) {
  const { done } = now.cells;
  if (!total) return now.state === "gone" ? "The study directory is gone." : "The study has not published its cells yet.";
  const left = now.state === "running" ? `, ${now.eta_s === null ? "estimating the time left" : `about ${lasts(now.eta_s)} left`}` : "";
  const failed = now.cells.failed ? `, ${grouped(now.cells.failed)} failed` : "";
  return `${grouped(done)} of ${grouped(total)} cells are done${failed}${left}.`;
}

function showProgress(now) {
  const total = Object.values(now.cells).reduce((sum, count) => sum + count, 0);
  byId("progress-title").textContent = sentence(now, total);
  document.title = `${total ? `${now.cells.done}/${total} · ` : ""}${now.name}`;
  byId("name").textContent = now.name;
  byId("state").textContent = STATES[now.state] ?? now.state;
  byId("state").className = `tag ${["running", "done"].includes(now.state) ? "ok" : "warn"}`;
  renew("bar", now.cells, (cells) => showBar(cells, total));
  renew("facts", [now.wall_s, now.eta_s, now.workers, now.n_runs, now.state, now.state === "running" || now.age_s], () => showFacts(now));
}

function showBar(cells, total) {
  const states = Object.keys(WORDS).filter((state) => cells[state]);
  const bar = byId("bar");
  bar.setAttribute("aria-valuenow", total ? Math.floor((100 * cells.done) / total) : 0);
  bar.setAttribute("aria-valuetext", states.map((state) => `${cells[state]} ${WORDS[state]}`).join(", "));
  bar.replaceChildren(...states.map((state) => make("span", { class: `is-${state}`, style: `flex: ${cells[state]} 1 0` })));
  byId("legend").replaceChildren(...states.map((state) =>
    make("li", {}, make("i", { class: `is-${state}` }), `${grouped(cells[state])} ${WORDS[state]}`)));
}

function showFacts(now) {
  const ago = now.age_s === null ? null : `${lasts(now.age_s)} ago`;
  const facts = [
    ["Time so far", lasts(now.wall_s)],
    ["Time left", now.state === "running" ? (now.eta_s === null ? "not known yet" : `about ${lasts(now.eta_s)}`) : null],
    ["Workers", now.state === "running" && now.workers !== null ? grouped(now.workers) : null],
    ["Runs in the table", grouped(now.n_runs)],
    ["Last written", now.state === "running" ? null : ago],
  ];
  byId("facts").replaceChildren(...facts.filter((fact) => fact[1] !== null)
    .flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function showRecipes(rows) {
  byId("recipes").hidden = !rows.length;
  const states = Object.keys(WORDS);
  const head = ["recipe", ...states.map((state) => (state === "blocked" ? "waiting" : WORDS[state]))];
  const body = rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row.recipe),
    ...states.map((state) => make("td", { class: "number" }, grouped(row[state])))));
  byId("recipes").querySelector(".scroll").replaceChildren(make("table", {},
    make("thead", {}, make("tr", {}, ...head.map((text, place) => make("th", { scope: "col", class: place ? "number" : "" }, text)))),
    make("tbody", {}, ...body)));
}

function showFaults(now) {
  const faults = [...now.faults];
  if (now.state === "silent") {
    faults.push(`The study calls itself running but has written nothing for ${lasts(Math.floor(now.age_s / 60) * 60)}; ` +
      "its run may have died. The same tippingpoint run command goes on with what is missing.");
  }
  renew("faults", faults, () => listIn(byId("faults"), faults));
}

// ---- cells at work --------------------------------------------------------------------------------------------------

const working = new Map();

function workerOf(one) {
  const bar = make("progress", { max: "1", value: "0", "aria-label": `Steps of ${one.label}` });
  const steps = make("span", { class: "muted" });
  return { item: make("li", {}, make("span", {}, one.label), bar, steps), bar, steps };
}

/** Show how far the cells at work are; a line is moved on, not made anew, so that it can be read meanwhile. */
function showRunning(now) {
  byId("running").hidden = !now.running.length;
  byId("running").querySelector("summary").textContent = `Running now: ${grouped(now.n_running)} cell${now.n_running === 1 ? "" : "s"}`;
  const labels = new Set(now.running.map((one) => one.label));
  for (const [label, { item }] of working) {
    if (!labels.has(label)) {
      item.remove();
      working.delete(label);
    }
  }
  for (const one of now.running) {
    if (!working.has(one.label)) {
      working.set(one.label, workerOf(one));
      byId("running").querySelector("ul").append(working.get(one.label).item);
    }
    const { bar, steps } = working.get(one.label);
    bar.hidden = one.done === null;
    if (one.done === null) continue;
    bar.max = Math.max(1, one.total);
    bar.value = one.done;
    steps.textContent = one.done ? `step ${grouped(one.done)} of ${grouped(one.total)}` : "begins";
  }
  const more = now.n_running - now.running.length;
  byId("running-more").textContent = more > 0 ? `And ${grouped(more)} more.` : "";
}

// ---- failures -------------------------------------------------------------------------------------------------------

async function showLog(button, key, pre) {
  const open = pre.hidden;
  if (open) {
    try {
      const reply = await fetch(`/log/${encodeURIComponent(key)}`);
      pre.textContent = reply.ok ? await reply.text() : "The log cannot be read; it may have been removed.";
    } catch {
      pre.textContent = "The server does not answer.";
    }
  }
  pre.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
  button.firstChild.textContent = open ? "Hide log" : "Show log";
}

function failureOf(one) {
  const said = [make("strong", {}, one.label), one.reason ? `: ${one.reason}` : ""];
  if (!one.log) return make("li", {}, make("p", {}, ...said), make("p", { class: "muted" }, "It left no log here."));
  const pre = make("pre", { hidden: true, tabindex: "0", role: "region", "aria-label": `Log of ${one.label}` });
  const button = make("button", { type: "button", "aria-expanded": "false" }, "Show log",
    make("span", { class: "unseen" }, ` of ${one.label}`));
  button.addEventListener("click", () => showLog(button, one.key, pre));
  return make("li", {}, make("p", {}, ...said), button, pre);
}

const failures = new Map();

function showFailures(now) {
  const { n_failures: count, failures: list } = now;
  const some = count > list.length ? ` The first ${list.length} are listed.` : "";
  byId("failures-state").textContent = count
    ? `${grouped(count)} cell${count === 1 ? "" : "s"} failed; the others go on.${some} ` +
      "Once the cause is mended, the same tippingpoint run command trains them."
    : "None.";
  const keys = new Set(list.map((one) => JSON.stringify(one)));
  for (const [key, item] of failures) {
    if (!keys.has(key)) {
      item.remove();
      failures.delete(key);
    }
  }
  for (const one of list) {
    const key = JSON.stringify(one);
    if (!failures.has(key)) {
      failures.set(key, failureOf(one));
      document.querySelector(".failures").append(failures.get(key));
    }
  }
}

// ---- what is fetched apart ------------------------------------------------------------------------------------------

function showAnswer([answer, whole]) {
  const body = byId("answer-body");
  const parsed = new DOMParser().parseFromString(answer.html, "text/html"); // it runs nothing, and loads nothing
  const hero = parsed.querySelector(".hero");
  body.replaceChildren(...(hero ? [document.adoptNode(hero)] : []));
  body.querySelector("svg")?.removeAttribute("tabindex");
  body.querySelector("h1")?.replaceWith(make("h3", { class: "lead" }, answer.sentence));
  if (!whole) body.querySelector(".kicker")?.remove();
  const runs = `${grouped(answer.n_runs)} runs`;
  const told = whole ? `From all ${runs}. The whole report is written by tippingpoint report.` :
    `An interim answer, from ${runs}. It will move: no interval here allows for having looked before the end.`;
  byId("answer-state").textContent = hero ? told : answer.sentence;
}

async function ask(path) {
  const reply = await fetch(path, { cache: "no-store" });
  if (!reply.ok) throw new Error(`${path}: ${reply.status}`);
  return reply.json();
}

async function showParts(now) {
  for (const part of ["results", "curves"]) {
    if (now.versions[part] === seen[part]) continue;
    charts[part].show((await ask(`/${part}.json`)).panels);
    seen[part] = now.versions[part];
  }
  if (now.versions.answer !== seen.answer) {
    answer = await ask("/answer.json");
    seen.answer = now.versions.answer;
  }
  if (answer) renew("answer", [answer, now.state === "done" && answer.n_runs === now.n_runs], showAnswer);
  byId("answer-busy").hidden = !now.computing;
}

/** Tell those who listen, but only what is news: another state, a failure, each tenth of the way, an answer. */
function tell(now) {
  const total = Object.values(now.cells).reduce((sum, count) => sum + count, 0);
  const news = JSON.stringify([now.state, now.n_failures, total && Math.floor((10 * now.cells.done) / total), now.faults.length]);
  if (news === told) return;
  told = news;
  byId("said").textContent = [`Study ${STATES[now.state] ?? now.state}.`, sentence(now, total), ...now.faults].join(" ");
}

async function follow() {
  let wait = EVERY;
  if (!document.hidden) {
    try {
      const now = await ask("/state.json");
      shown.delete("lost");
      showProgress(now);
      showFaults(now);
      renew("recipes", now.recipes, showRecipes);
      renew("running", [now.running, now.n_running], () => showRunning(now));
      renew("notes", now.notes, (list) => listIn(byId("notes"), list));
      showFailures(now);
      await showParts(now);
      tell(now);
      document.documentElement.dataset.ready = "yes";
    } catch {
      lost();
      wait = 3 * EVERY;
    }
  }
  setTimeout(follow, wait);
}

function lost() {
  renew("lost", true, () => {
    const when = new Date().toLocaleTimeString();
    const words = `The server does not answer since ${when}; it may have been stopped. What stands here is from before.`;
    shown.delete("faults");
    listIn(byId("faults"), [words]);
    byId("said").textContent = words;
    told = null;
  });
}

startTheme();
charts.results = new Charts(byId("results"), {
  tabled: meansTable, about: "Means over seeds; the bars span the least and the greatest run. Sizes are on a logarithmic scale.",
});
charts.curves = new Charts(byId("curves"), {
  tabled: lastTable, about: "Of each model the training on the most images so far, its first seed.",
});
follow();

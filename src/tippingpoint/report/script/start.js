async function start() {
  startTheme();
  const plans = JSON.parse(byId("plans")?.textContent ?? "[]");
  if (plans.length) new Planner(plans);
  const view = byId("runs-view");
  if (byId("runs-file") && typeof DecompressionStream !== "undefined") {
    // else the still table stays
    const runs = await readRuns();
    const known = (names) => JSON.parse(names).filter((name) => runs.columns.includes(name));
    runs.shown = known(view.dataset.shown);
    startDownload(runs);
    new RunsTable(view, runs, known(view.dataset.columns));
    for (const svg of document.querySelectorAll("svg[tabindex]")) new Figure(svg, runs);
  }
  document.documentElement.dataset.ready = "yes";
}

start();

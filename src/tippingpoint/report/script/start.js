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

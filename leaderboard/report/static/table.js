// Sorting, filtering, columns and their help.
(() => {
  "use strict";
  const known = JSON.parse(document.getElementById("rows").textContent);
  const byId = (id) => document.getElementById(id);

  // sort: rows of each body apart, so that controls stay last; what has no value comes after what has one
  const sortBy = (head) => {
    const row = head.parentElement;
    const place = [...row.children].indexOf(head);
    const first = head.querySelector(".sort").dataset.first;
    const now = head.getAttribute("aria-sort");
    const next = now === "none" ? first : now === "ascending" ? "descending" : "ascending";
    for (const other of row.children) other.setAttribute("aria-sort", other === head ? next : "none");
    const sign = next === "ascending" ? 1 : -1;
    const value = (tr) => {
      const cell = tr.children[place];
      if (place === 0) return cell.querySelector("a").textContent;
      return cell.dataset.v === undefined ? null : Number(cell.dataset.v);
    };
    const compare = ([a], [b]) => {
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b);
    };
    for (const body of head.closest("table").tBodies) {
      const rows = [...body.querySelectorAll("tr[data-r]")].map((tr) => [value(tr), tr]);
      body.append(...rows.sort(compare).map(([, tr]) => tr));
    }
  };

  // filter
  const toolbar = document.querySelector(".toolbar");
  const state = { text: byId("f-text"), suite: byId("f-suite"), family: byId("f-family"), controls: byId("f-controls") };
  const lines = toolbar ? [...document.querySelectorAll("tr[data-r]")] : [];
  const filter = () => {
    const text = state.text.value.trim().toLowerCase();
    const suite = state.suite ? state.suite.value : "";
    const family = state.family ? state.family.value : "";
    const seen = new Set();
    for (const tr of lines) {
      const [words, kind] = known[tr.dataset.r];
      const shown = (!text || words.includes(text)) && (!family || kind === family);
      tr.hidden = !shown;
      if (shown) seen.add(tr.dataset.r);
    }
    for (const body of document.querySelectorAll("tbody.controls")) body.hidden = !state.controls.checked;
    for (const section of document.querySelectorAll(".boardsection")) section.hidden = Boolean(suite) && section.dataset.suite !== suite;
    for (const task of document.querySelectorAll(".task")) {
      const nothing = task.querySelector(".nothing");
      if (nothing) nothing.hidden = Boolean(task.querySelector("tbody:not([hidden]) tr[data-r]:not([hidden])"));
    }
    for (const divider of document.querySelectorAll(".divider")) divider.hidden = !divider.parentElement.querySelector("tr[data-r]:not([hidden])");
    byId("f-count").textContent = text || family ? `${seen.size} of ${Object.keys(known).length} rows` : "";
  };
  if (toolbar) {
    toolbar.hidden = false;
    for (const control of Object.values(state)) if (control) control.addEventListener("input", filter);
    byId("f-ranks").addEventListener("input", (event) => document.body.classList.toggle("ranks", event.target.checked));
    filter();
  }

  // help: the words stand under the table, and the dialog shows a copy
  const dialog = byId("help");
  const help = (name) => {
    const said = byId(name);
    byId("help-h").textContent = said.querySelector("h4").textContent;
    byId("help-body").replaceChildren(said.querySelector("dl").cloneNode(true));
    dialog.showModal();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === dialog) dialog.close();
    if (!button) return;
    if (button.classList.contains("sort")) sortBy(button.closest("th"));
    if (button.dataset.help) help(button.dataset.help);
    if (button.dataset.more) {
      const all = button.closest(".task").querySelector("table").classList.toggle("all");
      button.setAttribute("aria-pressed", String(all));
      button.textContent = all ? "Headline columns" : `All ${button.dataset.more} columns`;
    }
  });
})();

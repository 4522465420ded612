// Differences of chosen rows to the first one. They were made with the tables; here signs turn and p is corrected.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const selects = [0, 1, 2, 3].map((k) => document.getElementById(`r${k}`));
  const every = document.getElementById("every");
  const place = new Map(data.pairs.map(([i, j], k) => [`${i},${j}`, k]));
  const element = (tag, text, cls) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (cls) made.className = cls;
    return made;
  };
  const turned = (text) => (/[1-9]/.test(text.replace(/e.*/, "")) ? (text.startsWith("−") ? text.slice(1) : `−${text}`) : text);

  // second − first of one column, whichever way around it was stored
  const change = (column, first, second) => {
    const forward = first < second;
    const k = place.get(forward ? `${first},${second}` : `${second},${first}`);
    const stored = k === undefined ? "" : column.pairs[k];
    if (!stored) return null;
    const [value, low, high, p, verdict] = stored.split(";");
    const other = { b: "w", w: "b", d: "d", "": "" };
    if (forward) return { value, low, high, p: Number(p), verdict };
    return { value: turned(value), low: turned(high), high: turned(low), p: Number(p), verdict: other[verdict] };
  };
  // Holm's correction, as leaderboard.comparisons has it
  const holm = (found) => {
    const sorted = [...found].sort((a, b) => a.p - b.p);
    let far = 0;
    sorted.forEach((one, k) => { far = Math.max(far, Math.min(1, (sorted.length - k) * one.p)); one.adjusted = far; });
  };
  const signed = (text) => (/^[−0.]/.test(text) && !/^0\.\d*[1-9]/.test(text) ? text : `+${text}`);
  const small = (p) => (p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`);
  const arrows = { b: " ▲", w: " ▼", d: " ◆", "": "" };
  const words = { b: "better", w: "worse", d: "differs", "": "not told apart" };

  const cell = (column, reference, row, found) => {
    const td = element("td", undefined, "n");
    if (!found) {
      const lacking = [reference, row].find((k) => column.why[k]);
      const why = lacking === undefined ? "" : `${data.rows[lacking].name}: ${column.why[lacking]}`;
      td.className = "n none";
      td.textContent = "–";
      td.title = why ? `no difference: ${why}` : "no difference: not the same utterances or unit, or a pair that is not on this page";
      td.append(element("small", why ? (why.length > 44 ? `${why.slice(0, 43)}…` : why) : "not available"));
      return td;
    }
    td.append(element("b", signed(found.value) + arrows[found.verdict], `v ${found.verdict}`));
    td.append(element("small", found.low === "" ? "[n = 1]" : `[${found.low}, ${found.high}]`));
    td.append(element("small", small(found.adjusted)));
    td.title = words[found.verdict];
    return td;
  };

  const table = (task, chosen) => {
    const columns = task.columns.filter((column) => every.checked || column.headline);
    if (!columns.length) return null;
    const section = element("section", undefined, "compared");
    const head = element("h2", task.title);
    head.append(" ", element("span", `${task.name}, version ${task.version}`, "version"));
    head.id = `t-${task.name}`;
    const made = element("table", undefined, "board all");
    made.append(element("caption", `${task.title}: differences to ${data.rows[chosen[0]].name}`, "vh"));
    const top = element("tr");
    chosen.forEach((row, k) => {
      const name = element("bdi", data.rows[row].name);
      if (k === 0) { const corner = element("th", "Metric", "name"); corner.scope = "col"; top.append(corner); }
      const th = element("th", undefined, "n");
      th.scope = "col";
      th.append(name, element("small", k === 0 ? " reference" : ` − reference`));
      top.append(th);
    });
    made.append(element("thead"));
    made.tHead.append(top);
    const body = element("tbody");
    for (const column of columns) {
      const tr = element("tr");
      tr.dataset.column = column.name;
      const th = element("th", column.title, "name");
      th.scope = "row";
      th.title = column.help;
      th.append(" ", element("small", [column.unit, column.arrow, column.said].filter(Boolean).join(" ")));
      const [reference, ...others] = chosen;
      const found = others.map((row) => change(column, reference, row));
      holm(found.filter(Boolean));
      const base = element("td", undefined, "n");
      const [value, ...bounds] = (column.values[reference] || "–").split(" ");
      base.append(element("b", value), element("small", bounds.join(" ")));
      tr.append(th, base, ...others.map((row, k) => cell(column, reference, row, found[k])));
      body.append(tr);
    }
    made.append(body);
    const scroll = element("div", undefined, "scroll");
    scroll.tabIndex = 0;
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-labelledby", head.id);
    scroll.append(made);
    section.append(head, scroll);
    return section;
  };

  const draw = () => {
    const chosen = [...new Set(selects.map((s) => s.value).filter((v) => v !== "").map(Number))];
    const where = document.getElementById("compared");
    const said = document.getElementById("said");
    where.replaceChildren();
    history.replaceState(null, "", `#${chosen.join(",")}`);
    if (chosen.length < 2) { said.textContent = "Choose at least two different rows."; return; }
    said.textContent = "";
    where.append(...data.tasks.map((task) => table(task, chosen)).filter(Boolean));
    if (!where.children.length) said.textContent = "No headline column; switch on every metric.";
  };

  const wanted = location.hash.slice(1).split(",").filter((v) => /^\d+$/.test(v)).map(Number).filter((v) => v < data.rows.length);
  const start = wanted.length > 1 ? wanted : wanted.length === 1 ? [...wanted, wanted[0] === 0 ? 1 : 0] : [0, 1, 2];
  selects.forEach((select, k) => {
    if (k > 1) select.append(new Option("none", ""));
    data.rows.forEach((row, i) => select.append(new Option(row.kind ? `${row.name} (${row.kind})` : row.name, String(i))));
    select.value = start[k] !== undefined && start[k] < data.rows.length ? String(start[k]) : k > 1 ? "" : String(k);
    select.addEventListener("input", draw);
  });
  every.addEventListener("input", draw);
  if (!data.tasks.some((task) => task.columns.some((column) => column.headline))) every.checked = true;
  draw();
})();

"use strict";
// Asks the server for its studies every two seconds, and shows them in the order of the heading that was pressed last.
(() => {
  const EVERY_MS = 2000;
  const table = document.getElementById("studies");
  const body = table.tBodies[0];
  const counts = document.getElementById("counts");
  const assumption = document.getElementById("assumption");
  const said = document.getElementById("said");
  const buttons = [...table.tHead.querySelectorAll("button")];
  let found = { now: 0, counts: {}, studies: [] };
  let order = { key: "received", falling: true };
  let answered = 0;

  function age(seconds) {
    if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    return seconds < 129600 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} d`;
  }

  function compare(a, b) {
    const [x, y] = [a[order.key], b[order.key]];
    if (x === null || y === null) return (x === null) - (y === null); // without a value: last, whichever the order
    const by = typeof x === "number" ? x - y : String(x).localeCompare(String(y), "en", { numeric: true });
    return (order.falling ? -by : by) || b.received - a.received;
  }

  function cell(row, text, kind) {
    const made = row.insertCell();
    if (kind) made.className = kind;
    made.textContent = text;
    return made;
  }

  function number(value, digits) {
    return value === null ? "" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  }

  function link(study) {
    const made = document.createElement("a");
    made.href = `/report/${encodeURIComponent(study.uid)}`;
    made.textContent = study.uid;
    return made;
  }

  function again(study) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = "again";
    made.setAttribute("aria-label", `Put study ${study.uid} into the queue again`);
    made.addEventListener("click", async () => {
      made.disabled = true;
      const answer = await fetch(`/retry/${encodeURIComponent(study.uid)}`, { method: "POST", headers: { "X-PE-nnUNet": "retry" } });
      said.textContent = await answer.text();
      ask();
    });
    return made;
  }

  function show() {
    const held = document.activeElement?.getAttribute("aria-label"); // of a button in a row that is made anew
    const rows = [...found.studies].sort(compare).map((study) => {
      const row = document.createElement("tr");
      row.dataset.state = study.state;
      cell(row, study.state, "word");
      cell(row, age(found.now - study.received));
      cell(row, number(study.score, 2));
      cell(row, number(study.probability, 2));
      cell(row, number(study.emboli, 0));
      cell(row, number(study.volume_mm3, 0));
      const name = cell(row, study.report ? "" : study.uid, "word wrap");
      if (study.report) name.append(link(study));
      cell(row, study.hint ? `${study.told}; ${study.hint}` : study.told, "word wrap");
      const last = row.insertCell();
      if (["failed", "done", "sent"].includes(study.state)) last.append(again(study));
      return row;
    });
    body.replaceChildren(...rows);
    if (held) [...body.querySelectorAll("button")].find((each) => each.getAttribute("aria-label") === held)?.focus();
  }

  async function ask() {
    try {
      const answer = await fetch("/studies.json");
      if (!answer.ok) throw new Error(answer.statusText);
      found = await answer.json();
      answered = Date.now();
      counts.textContent = Object.entries(found.counts).map(([state, many]) => `${many} ${state}`).join(" · ");
      assumption.textContent = found.assumption;
      show();
    } catch {
      const since = answered ? ` for ${age((Date.now() - answered) / 1000)}` : "";
      counts.textContent = `The server has not answered${since}: what is shown is old.`;
    }
    document.documentElement.dataset.ready = "yes";
  }

  buttons.forEach((button) =>
    button.addEventListener("click", () => {
      order = { key: button.dataset.key, falling: order.key === button.dataset.key ? !order.falling : true };
      buttons.forEach((each) => each.parentElement.removeAttribute("aria-sort"));
      button.parentElement.setAttribute("aria-sort", order.falling ? "descending" : "ascending");
      said.textContent = `Sorted by ${button.textContent}, ${order.falling ? "falling" : "rising"}`;
      show();
    }),
  );
  ask();
  setInterval(ask, EVERY_MS);
})();

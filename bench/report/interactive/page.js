// What ties the page together: its choices fill the leaderboard (DataTables), the figures (Plotly) and the viewer.
const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const unpack = (id) => {
  const bytes = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
};
const put = (tag, textContent) => document.head.prepend(Object.assign(document.createElement(tag), { textContent }));
const page = JSON.parse(await unpack("data"));
put("style", await unpack("datatables-css"));
const { default: DataTable, set_or_remove_dark_class: darkTable } = await import(
  URL.createObjectURL(new Blob([await unpack("datatables")], { type: "text/javascript" })));
// Choices
const now = () => page.experiments[+$("experiment").value];
const metric = () => page.metrics[$("metric").value];
const columns = () => now().scores[$("set").value] ?? {};
const scores = () => columns()[`${$("metric").value}@${$("protocol").value}`];
const named = (s) => [s.key, `${s.title}, ${s.faces} faces`];
function fill(id, options, wanted) {
  const kept = [$(id).value, wanted].find((value) => options.some(([own]) => own === value));
  $(id).replaceChildren(...options.map(([value, words]) => new Option(words, value)));
  $(id).value = kept ?? options[0]?.[0] ?? "";
}
function choose() {
  const e = now();
  fill("set", e.sets.filter((s) => e.scores[s.key]).map(named), e.seen);
  const pairs = Object.keys(columns()).map((name) => name.split("@"));
  fill("metric", Object.values(page.metrics).filter((m) => pairs.some(([name]) => name === m.name))
    .map((m) => [m.name, `${m.title}, ${m.higher ? "more" : "less"} is better`]));
  fill("protocol", pairs.filter(([name]) => name === $("metric").value).map(([, own]) => [own, own]), e.protocol);
  const bases = e.rows.map((row, i) => [`${i}`, `gain over ${row.label}`]); // elsewhere over the baseline alone
  fill("base", [["", "means"], ...bases.filter((_, i) => $("protocol").value === e.protocol || i === e.base)]);
  all("[data-place]").forEach((part) => { part.hidden = part.dataset.place !== $("experiment").value; });
}
// Leaderboard
let table, list = [], place = 0;
const words = (value, digits, sign) => value == null ? "–" : typeof value === "string" ? value
  : (sign && value > 0 ? "+" : "") + value.toFixed(digits).replace("-", "−");
const safe = (value) => String(value).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
const base = () => $("base").value;
const shownOf = (s, i, over) => over === "" ? s.cells[i]?.mean : s.gains[i][over];
const million = (value, unit) => words(value && value / unit, 3);
function line(row, i) {
  const set = now().sets.find((own) => own.key === $("set").value), digits = metric().decimals, c = scores()?.cells[i];
  const found = scores() && shownOf(scores(), i, base()), fails = row.failing[set.key], seeds = c?.seeds ?? 0;
  if (seeds < Math.max($("seeds").value, row.status === "finished") || row.parameters / 1e6 > +($("size").value
    || Infinity)) return "";
  const [mean, low, high] = [0, 1, 2].map((at) => words(found?.[at], digits, base()));
  const tip = [`${row.label} on ${set.name}, ${set.faces} faces (${set.fingerprint.slice(0, 12)})`, fails,
    `${$("protocol").value}, seeds: ${seeds}, 95% interval ${low} to ${high}`, row.about].filter(Boolean).join("\n");
  const number = `<span class="${base() || c?.mark}" tabindex="0" data-tip="${safe(tip)}">${mean}</span>`;
  const cells = [[found?.[0], number], [found?.[1], found?.[1] == null ? "–" : `[${low}, ${high}]`], [seeds, seeds],
    [row.parameters, million(row.parameters, 1e6)],
    [row.multiply_adds, million(row.multiply_adds, 1e9)], [row.seconds, words(row.seconds, 4)]];
  cells.splice(2, 0, [c?.spread, words(c?.spread, digits)]);
  const state = [row.status === "finished" ? "" : row.status, fails && "fails on faces"].filter(Boolean).join(", ");
  return `<tr class="${row.foreign && "foreign"}"><td>${row.foreign ? 1 : 0}</td><td>${safe(row.label)}<b>${state
    && ` (${state})`}</b></td>${cells.map(([value, html]) => `<td class="right" data-order="${
    typeof value === "number" ? value : -1e99}">${html}</td>`).join("")}</tr>`;
}
function leaderboard() {
  const m = metric(), over = base() && `, ${$("base").selectedOptions[0].text}`, order = table?.order() ?? [];
  const heads = ["", "Row", m.title + over + (m.unit && ` (${m.unit})`), "95% interval", "SD over seeds", "Seeds",
    "Params (M)", "Mult-adds (G)", "Time (s/image)"].map((head) => `<th scope="col">${safe(head)}</th>`);
  table?.destroy();
  $("table").innerHTML = `<thead><tr>${heads.join("")}</tr></thead><tbody>${now().rows.map(line).join("")}</tbody>`;
  table = new DataTable($("table"), { paging: false, autoWidth: false, order, orderFixed: [[0, "asc"]],
    layout: { topStart: "search", topEnd: "info", bottomStart: null, bottomEnd: null }, columnDefs: [
      { targets: 0, visible: false }, { targets: 2, orderSequence: m.higher ? ["desc", "asc"] : ["asc", "desc"] }] });
  $("about").textContent = `${m.title}${over}, protocol ${$("protocol").value}: ${page.protocols[$("protocol").value]}`;
}
const quoted = { csv: (own) => /[",\n]/.test(own) ? `"${own.replaceAll('"', '""')}"` : own,
  markdown: (own) => own.replace(/[|\\]/g, "\\$&"),
  latex: (own) => own.replace(/[&%$#_{}]/g, "\\$&").replaceAll("−", "$-$").replaceAll("≈", "$\\approx$") };
function copy(kind) {
  const trs = [table.table().header().rows[0], ...table.rows({ search: "applied" }).nodes().toArray()];
  const [between, start, end] = { csv: [",", "", ""], markdown: ["|", "|", "|"], latex: [" & ", "", " \\\\"] }[kind];
  const joined = (cells) => start + cells.join(between) + end, sides = [...trs[0].cells].map((_, i) => i ? "r" : "l");
  const [head, ...rest] = trs.map((tr) => joined([...tr.cells].map((own) => quoted[kind](own.textContent.trim()))));
  $("text").value = { csv: [head, ...rest], markdown: [head, joined(sides.map((s) => s === "r" ? "-:" : "-")), ...rest],
    latex: [`\\begin{tabular}{${sides.join("")}}`, "\\toprule", head, "\\midrule", ...rest, "\\bottomrule",
      "\\end{tabular}"] }[kind].join("\n");
  Object.assign($("text"), { hidden: false }).select();
  $("copied").textContent = document.execCommand("copy") ? "Copied." : "Selected below: copy it by hand.";
}
// Figures
const hidden = new Set();
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const axis = (own) => ({ gridcolor: colour("--line"), zerolinecolor: colour("--muted"), automargin: true, ...own });
const title = (text) => ({ title: { text } });
const draw = (id, traces, x, y, layout) => window.Plotly?.react($(`${id}-plot`), traces, { paper_bgcolor: "#0000",
  plot_bgcolor: "#0000", showlegend: false, font: { color: colour("--ink"), size: 13 }, hovermode: "closest",
  margin: { l: 64, r: 16, t: 10, b: 50 }, xaxis: axis(x), yaxis: axis(y), ...layout },
{ responsive: true, displayModeBar: false });
function dressed(trace, row) {
  const color = colour("--scheme") === "dark" ? row.dark : row.color;
  return { name: row.label, hovertemplate: `${row.label}: %{y:.4~f} at %{x}<extra></extra>`, fillcolor: `${color}26`,
    ...trace, line: { color, dash: row.dash, width: 2, ...trace.line },
    marker: { color, symbol: row.symbol, size: 9, line: { width: 1, color: colour("--paper") }, ...trace.marker } };
}
const errors = (found) => ({ type: "data", symmetric: false, array: found.map((f) => (f?.[2] ?? f?.[0]) - f?.[0]),
  arrayminus: found.map((f) => f?.[0] - (f?.[1] ?? f?.[0])) });
const perRow = (make) => now().rows.flatMap((row, i) => hidden.has(row.label) ? [] : make(row, i) ?? []);
function figures() {
  const e = now(), m = metric(), cost = $("cost"), unit = m.unit && ` (${m.unit})`, over = base() || `${e.base ?? ""}`;
  const named = (from) => m.title + (from === "" ? "" : ` over ${e.rows[from].label}`) + unit;
  $("curves-about").textContent = e.curves_about;
  draw("curves", perRow((row, i) => e.curves[i]?.map((trace) => dressed(trace, row))), title("Iteration"),
    title("Validation PSNR (dB)"));
  const points = perRow((row, i) => ({ row, x: row[cost.value], f: over === `${i}` ? [0]
    : scores() && shownOf(scores(), i, over) })).filter((p) => p.f && p.row.parameters).sort((p, q) => p.x - q.x);
  const beats = (q, p) => q.x <= p.x && (m.higher ? q.f[0] >= p.f[0] : q.f[0] <= p.f[0]);
  const front = points.filter((p) => !points.some((q) => beats(q, p) && !beats(p, q)));
  draw("costs", [{ x: front.map((p) => p.x), y: front.map((p) => p.f[0]), mode: "lines", hoverinfo: "skip",
    line: { color: colour("--muted"), dash: "dot", shape: "hv" } }, ...points.map((p, k) => dressed({ x: [p.x],
    y: [p.f[0]], error_y: errors([p.f]), mode: "markers+text", text: [p.row.label],
    textposition: k % 2 ? "bottom right" : "top right" }, p.row))], title(cost.selectedOptions[0].text),
    title(named(over)));
  const parts = e.effects[$("set").value]?.[m.name] ?? [];
  $("effects").hidden = !parts.length;
  draw("effects", parts, title(`Effect on ${m.title}${unit}`), { autorange: "reversed" },
    { showlegend: true, legend: { orientation: "h", y: 1.12 } });
  const protocols = Object.entries(columns()).filter(([name]) => name.startsWith(`${m.name}@`));
  const from = base() && (e.base ?? "");
  draw("protocols", perRow((row, i) => {
    const found = protocols.map(([, own]) => shownOf(own, i, from));
    return found.some(Boolean) ? dressed({ x: protocols.map(([name]) => name.split("@")[1]), error_y: errors(found),
      y: found.map((f) => f?.[0]), mode: "lines+markers" }, row) : [];
  }), { type: "category" }, title(named(from)));
}
// Faces
const faceset = () => ({ ...now().images[$("faceset").value], pictures: now().faces[$("faceset").value] ?? {} });
const pair = () => [$("a").value, $("b").value];
function faces() {
  const e = now(), { scores: { psnr }, pictures } = faceset(), bins = new Map();
  const rows = e.rows.map((row, i) => [`${i}`, row.label]).filter(([i]) => psnr[i]);
  Object.entries({ a: e.best, b: e.base }).forEach(([id, row]) => fill(id, rows, `${row}`));
  const [a, b] = pair(), gains = psnr[a].map((value, k) => ((value ?? NaN) - (psnr[b][k] ?? NaN)) / 1000);
  const most = Math.max(...gains.map(Math.abs)), width = [0.01, 0.02, 0.05, 0.1, 0.2].find((w) => most < 20 * w) ?? 0.5;
  gains.forEach((v, k) => bins.set(Math.floor(v / width), [...bins.get(Math.floor(v / width)) ?? [], k]));
  draw("gains", [{ type: "bar", x: [...bins.keys()].map((bin) => (bin + 0.5) * width), customdata: [...bins.values()],
    y: [...bins.values()].map((own) => own.length), width: width * 0.94, marker: { color: colour("--accent") },
    hovertemplate: "%{y} faces around %{x:+.3f} dB<extra></extra>" }],
  title(`PSNR of ${e.rows[a].label} over ${e.rows[b].label} on a face (dB)`), title("Faces"));
  pick(Object.keys(pictures).length ? "kept" : "worst");
}
function pick(kind) {
  const { scores, names, pictures } = faceset(), [a, b] = pair().map((i) => scores.psnr[i]), keys = [...names.keys()];
  const by = (value) => keys.toSorted((p, q) => value(p) - value(q)).slice(0, 20);
  list = { kept: () => keys.filter((k) => pictures[names[k]]),
    worst: () => by((k) => a[k]), best: () => by((k) => -a[k]), lost: () => by((k) => a[k] - b[k]),
    won: () => by((k) => b[k] - a[k]) }[kind]?.() ?? kind;
  all("[data-list]").forEach((button) => button.setAttribute("aria-pressed", button.dataset.list === kind));
  $("strip").innerHTML = list.slice(0, 60).map((k, i) => `<li><button type="button" data-face="${i}"><img alt="" src="${
    pictures[names[k]]?.hr ?? "data:,"}">${safe(names[k])}<br>${(a[k] / 1000).toFixed(2)} dB</button></li>`).join("");
  show(0);
}
function show(k) {
  place = (k + list.length) % list.length || 0;
  const { scores, names, pictures } = faceset(), name = names[list[place]], face = pictures[name], { rows } = now();
  const found = { hr: face?.hr, lr: face?.lr, "sr-a": face?.sr[pair()[0]], "sr-b": face?.sr[pair()[1]] };
  all("#viewer img").forEach((img) => { img.src = found[img.dataset.of] ?? "data:,"; });
  all("#viewer figure").forEach((own) => { own.hidden = !!own.querySelector('img[src="data:,"]'); });
  $("face").textContent = list.length ? `${name} (${place + 1} of ${list.length})` : "no face";
  const score = (of, i, digits) => words((scores[of][i]?.[list[place]] ?? NaN) / 1000, digits);
  const lacking = pair().filter((i) => !face?.sr[i]).map((i) => rows[i].label).join(" and ");
  $("facts").textContent = pair().map((i, at) => `${"AB"[at]}, ${rows[i].label}: PSNR ${score("psnr", i, 2)} dB, SSIM ${
    score("ssim", i, 3)}`).join("; ") + (lacking && `. No picture of this face by ${lacking} was kept.`);
  all("[data-face]").forEach((button) => button.setAttribute("aria-pressed", +button.dataset.face === place));
}
// Start
function refresh() {
  [darkTable, choose, leaderboard, figures].forEach((part) => part());
  fill("faceset", now().sets.filter((own) => now().images[own.key]).map(named), now().pictured);
  if (!($("faces").hidden = !$("faceset").value)) faces();
}
document.addEventListener("change", ({ target }) => {
  if (target.name === "row") hidden[target.checked ? "delete" : "add"](target.value);
  if (["a", "b", "faceset"].includes(target.id)) faces();
  else if (target.name === "row" || target.id === "cost") figures();
  else if (target.closest("#choices")) refresh();
});
document.addEventListener("click", ({ target }) => {
  const { copy: kind, list: which, face, step } = target.closest("button")?.dataset ?? {};
  if (kind || which) (kind ? copy : pick)(kind ?? which);
  if (face || step) show(face ? +face : place + +step);
});
const zoom = (name, value) => $("viewer").style.setProperty(`--${name}`, value);
$("viewer").addEventListener("input", ({ target }) => zoom(target.name, target.value));
$("viewer").addEventListener("pointermove", ({ target, offsetX, offsetY, buttons }) => {
  if (target.dataset.of && !buttons) Object.entries({ x: offsetX, y: offsetY }).forEach(([name, at]) =>
    zoom(name, 100 * at / target.offsetWidth));
});
["print", "(prefers-color-scheme: dark)"].forEach((own) => matchMedia(own).addEventListener("change", refresh));
refresh();
put("script", await unpack("slider"));
put("script", await unpack("plotly"));
refresh();
$("gains-plot").on?.("plotly_click", (event) => pick(event.points[0].customdata));
document.documentElement.dataset.ready = "yes";

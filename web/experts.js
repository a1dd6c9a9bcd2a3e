// Which experts computed an answer, as a map: a row for each layer that has experts, a column for each
// expert, the more colour the more often.  experts = {n_expert, layers, tokens: [[[expert]] by layer, or null]}

import { make } from "./dom.js";

function draw(tag, attributes, ...children) {
  const e = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  e.append(...children);
  return e;
}

// [layer][expert] times chosen.
function count({ n_expert, layers, tokens }) {
  const counts = layers.map(() => new Array(n_expert).fill(0));
  for (const token of tokens) token?.forEach((chosen, row) => chosen.forEach((expert) => counts[row][expert]++));
  return counts;
}

function summary({ layers }, counts) {
  const rows = counts.map((row, i) => {
    const all = row.reduce((a, b) => a + b, 0), order = [...row.keys()].sort((a, b) => row[b] - row[a]);
    const most = order.slice(0, 3).map((expert) => `${expert} (${Math.round((100 * row[expert]) / all)} %)`);
    return make("tr", {}, make("th", { scope: "row" }, String(layers[i])), make("td", {}, most.join(", ")),
      make("td", {}, String(row.filter((n) => !n).length)));
  });
  const head = ["Layer", "Most often", "Never chosen"].map((t) => make("th", { scope: "col" }, t));
  return make("details", {}, make("summary", {}, "As a table"), make("table", {}, make("tr", {}, ...head), ...rows));
}

// {element, show(i), noteId}: show marks the choice of token i, and says it in the note.
export function expertMap(experts, noteId) {
  const { n_expert, layers, tokens } = experts;
  const counts = count(experts), most = Math.max(1, ...counts.map((row) => Math.max(...row)));
  const side = Math.max(3, Math.min(24, Math.floor(700 / n_expert)));
  const cell = (row, x, more, ...children) => draw("rect", { x, y: row, width: 1, height: 1, ...more }, ...children);
  const cells = counts.flatMap((row, y) => row.map((n, x) => cell(y, x, { "fill-opacity": n / most },
    draw("title", {}, `Layer ${layers[y]}, expert ${x}: ${n} of ${tokens.length} tokens`))));
  const own = draw("g", { class: "own" }), note = make("p", { id: noteId, className: "small" }, "Look at a token to see its own.");
  const picture = draw("svg", { role: "img", viewBox: `0 0 ${n_expert} ${layers.length}`, preserveAspectRatio: "none",
    width: side * n_expert, height: Math.max(8, side) * layers.length,
    "aria-label": `Map of ${n_expert} experts in ${layers.length} layers; the same as a table below` }, ...cells, own);
  const show = (i) => {
    const token = tokens[i];
    own.replaceChildren(...(token ?? []).flatMap((chosen, row) => chosen.map((x) => cell(row, x, {}))));
    note.textContent = token ? token.map((chosen, row) => `layer ${layers[row]}: ${chosen.join(", ")}`).join(" · ")
      : "This token was not computed: the thought was closed.";
  };
  return { show, noteId, element: make("div", { className: "experts" },
    make("p", { className: "small" }, `Experts: layers ${layers[0]} to ${layers.at(-1)} downwards, experts 0 to ${n_expert - 1} ` +
      "to the right, the more colour the more often chosen in this answer."),
    picture, note, summary(experts, counts)) };
}

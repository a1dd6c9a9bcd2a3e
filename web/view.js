// How messages look.  Nothing here knows the server or the store: `act` is called with what the user
// wants, and the message it is about.

import { $, make } from "./dom.js";
import { expertMap } from "./experts.js";
import { render } from "./text.js";
import * as tree from "./tree.js";

const button = (label, title, onclick) => make("button", { type: "button", title, ariaLabel: title, onclick }, label);
const seconds = (ms) => (ms < 9950 ? (ms / 1000).toFixed(1) : Math.round(ms / 1000)) + " s";

function thought(node) {
  const details = make("details", { className: "thought", open: Boolean(node.isThinking) });
  details.append(make("summary"), make("div", { dir: "auto" }));
  details.querySelector("summary").onclick = () => { node.wasTouched = true; };
  return details;
}

function note(node) {
  const parts = [];
  if (node.finish === "length") parts.push("cut at the longest length");
  if (node.finish === "repetition") parts.push("ended: it ran in circles");
  if (node.finish === "stopped") parts.push("stopped");
  if (node.rate) parts.push(`${node.toks} tokens, ${node.rate < 10 ? node.rate.toFixed(1) : Math.round(node.rate)}/s`);
  return parts.join(" · ");
}

// Each token with a mark that says how likely it was; a press shows the alternatives, and looking at
// it the experts that computed it.
function inside(node) {
  const table = make("table");
  const map = node.experts?.tokens.length === node.logprobs.length ? expertMap(node.experts, `experts-${node.id}`) : null;
  const row = (t) => make("tr", {}, make("td", {}, JSON.stringify(t.token)),
    make("td", {}, (100 * Math.exp(t.logprob)).toFixed(1) + " %"));
  const tokens = node.logprobs.map((t, i) => {
    const p = Math.exp(t.logprob), show = () => map?.show(i);
    return make("button", { type: "button", onfocus: show, onmouseenter: show, ...(map && { "aria-describedby": map.noteId }), className: p < 0.2 ? "p0" : p < 0.6 ? "p1" : p < 0.95 ? "p2" : "",
      title: (100 * p).toFixed(1) + " %", onclick: () => table.replaceChildren(...t.top_logprobs.map(row)) }, t.token);
  });
  return make("div", {}, make("div", { className: "inside" }, ...tokens, table), ...(map ? [map.element] : []));
}

export class View {
  constructor(act) {
    this.act = act;
    this.elements = new Map();
  }

  show(chat) {
    this.chat = chat;
    this.elements.clear();
    $("messages").replaceChildren(...tree.path(chat).map((node) => this.article(node)));
    $("welcome").hidden = chat.first.length > 0;
    $("title").textContent = chat.title;
    document.title = chat.first.length ? `${chat.title} - minke` : "minke";
  }

  article(node) {
    const who = node.role === "user" ? "You" : "Answer";
    const e = make("article", { className: node.role, dir: "auto" }, make("h2", { className: "hidden" }, who));
    if (node.role === "assistant") e.append(thought(node));
    e.append(make("div", { className: "text" }), make("div", { className: "extra" }), make("div", { className: "tools" }));
    this.elements.set(node.id, e);
    this.update(node);
    return e;
  }

  // What has changed of a message while it is written, or at its end.
  update(node) {
    const e = this.elements.get(node.id);
    if (!e) return;
    const text = e.querySelector(".text");
    if (node.role === "user") text.style.whiteSpace = "pre-wrap", text.textContent = node.content;
    else if (text.dataset.shown !== node.content) render(text, node.content), text.dataset.shown = node.content;
    this.thought(e, node);
    e.ariaBusy = node.isWriting ? "true" : "false";
    const extra = e.querySelector(".extra");
    extra.replaceChildren();
    if (node.isWriting && !node.content && !node.reasoning) extra.append(make("p", { className: "small" },
      node.read ? `Reading ${Math.round(100 * node.read)} %` : "Reading ..."));
    if (node.error) extra.append(make("p", { className: "error", role: "alert" }, node.error + " ",
      button("Try again", "Ask again", () => this.act("again", node))));
    if (node.logprobs?.length && node.showInside) extra.append(inside(node));
    if (node.isWriting) e.querySelector(".tools").replaceChildren();
    else this.tools(e.querySelector(".tools"), node);
  }

  thought(e, node) {
    const details = e.querySelector("details.thought");
    if (!details) return;
    details.hidden = !node.reasoning;
    if (!node.wasTouched) details.open = Boolean(node.isThinking);
    details.querySelector("summary").textContent = node.isThinking ? "Thinking ..."
      : node.thoughtMs !== undefined ? `Thought for ${seconds(node.thoughtMs)}` : "Thought";
    const body = details.querySelector("div");
    if (body.textContent !== node.reasoning) body.textContent = node.reasoning || "";
    if (node.isThinking) details.querySelector("summary").append(" ",
      make("button", { type: "button", onclick: (event) => { event.preventDefault(); this.act("now", node); } }, "Answer now"));
  }

  tools(bar, node) {
    const ids = tree.siblings(this.chat, node), at = ids.indexOf(node.id), list = [];
    if (ids.length > 1)
      list.push(button("‹", "Previous version", () => this.act("turn", node, -1)), `${at + 1}/${ids.length}`,
        button("›", "Next version", () => this.act("turn", node, 1)));
    list.push(button("Copy", "Copy the text", () => this.act("copy", node)),
      button("Edit", "Edit", () => this.edit(node)));
    if (tree.isUnfinished(this.chat, node)) list.push(button("Continue", "Continue this answer", () => this.act("continue", node)));
    if (node.role === "assistant") list.push(button("Again", "Ask again", () => this.act("again", node)));
    if (node.logprobs?.length) list.push(button("Inside", "Inside: how likely each token was", () => this.act("inside", node)));
    list.push(button("Delete", "Delete this and what follows", () => this.act("delete", node)));
    if (node.role === "assistant") list.push(make("span", {}, note(node)));
    bar.replaceChildren(...list);
  }

  edit(node) {
    const e = this.elements.get(node.id), text = e.querySelector(".text");
    const area = make("textarea", { value: node.content, ariaLabel: "Edit", dir: "auto" });
    const done = (save) => {
      text.dataset.shown = "";
      if (save && area.value.trim()) this.act("edit", node, area.value);
      else this.update(node);
    };
    area.onkeydown = (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) done(true);
      if (event.key === "Escape") event.stopPropagation(), done(false);
    };
    text.replaceChildren(area);
    e.querySelector(".tools").replaceChildren(
      button(node.role === "user" ? "Send" : "Save", "Ctrl+Enter", () => done(true)), button("Cancel", "Esc", () => done(false)));
    area.focus();
  }

  editLastQuestion() {
    const node = tree.path(this.chat).findLast((n) => n.role === "user");
    if (node) this.edit(node);
  }
}

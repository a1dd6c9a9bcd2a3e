// A chat is a tree: editing a question or asking again begins a new branch beside the old one.
// chat = {id, title, created, updated, system, settings, nodes: {id: node}, first: [ids], at: index}
// node = {id, parent, role, content, reasoning, next: [ids], at: index, ...}

const newId = () => crypto.randomUUID();

export function newChat(settings = {}) {
  const now = Date.now();
  return { id: newId(), title: "New chat", created: now, updated: now, system: "", settings,
    nodes: {}, first: [], at: 0 };
}

const holder = (chat, parent) => (parent ? chat.nodes[parent] : chat);
const list = (chat, parent) => (parent ? chat.nodes[parent].next : chat.first);

// Adds a message below parent (null: at the top) and makes its branch the one shown.
export function add(chat, parent, role, content) {
  const node = { id: newId(), parent, role, content, next: [], at: 0 };
  chat.nodes[node.id] = node;
  const siblings = list(chat, parent);
  siblings.push(node.id);
  holder(chat, parent).at = siblings.length - 1;
  chat.updated = Date.now();
  if (role === "user" && !parent) chat.title = content.trim().replace(/\s+/g, " ").slice(0, 60) || chat.title;
  return node;
}

// The messages that are shown, from the first on.
export function path(chat) {
  const nodes = [];
  for (let ids = chat.first, at = chat.at; ids.length; ) {
    const node = chat.nodes[ids[at]];
    nodes.push(node);
    [ids, at] = [node.next, node.at];
  }
  return nodes;
}

export function pathTo(chat, node) {
  const nodes = [];
  for (let n = node; n; n = chat.nodes[n.parent]) nodes.unshift(n);
  return nodes;
}

export const siblings = (chat, node) => list(chat, node.parent);

// Whether it is the last answer, and may go on: it was stopped, cut, or changed by the user.
export function isUnfinished(chat, node) {
  const isCut = ["stopped", "length"].includes(node.finish) || node.error || node.isEdited;
  return Boolean(node.role === "assistant" && isCut && (node.content || node.reasoning) && path(chat).at(-1) === node);
}

// Shows the branch that is `step` further.
export function turn(chat, node, step) {
  const ids = siblings(chat, node), of = holder(chat, node.parent);
  of.at = Math.min(ids.length - 1, Math.max(0, of.at + step));
}

export function remove(chat, node) {
  const ids = siblings(chat, node), of = holder(chat, node.parent);
  ids.splice(ids.indexOf(node.id), 1);
  of.at = Math.max(0, Math.min(of.at, ids.length - 1));
  const drop = (n) => {
    n.next.forEach((id) => drop(chat.nodes[id]));
    delete chat.nodes[n.id];
  };
  drop(node);
}

export function markdown(chat) {
  const parts = [`# ${chat.title}`];
  if (chat.system) parts.push(`> ${chat.system.replace(/\n/g, "\n> ")}`);
  for (const node of path(chat)) {
    parts.push(node.role === "user" ? "## You" : "## Answer");
    if (node.reasoning) parts.push(`> ${node.reasoning.trim().replace(/\n/g, "\n> ")}`);
    parts.push(node.content);
  }
  return parts.join("\n\n") + "\n";
}

// From a file: only what has the form of a chat, and nothing else of it.
export function fromJson(value) {
  const text = (v) => (typeof v === "string" ? v : "");
  const chat = { ...newChat(), title: text(value.title).slice(0, 200) || "Imported", system: text(value.system),
    created: Number(value.created) || Date.now() };
  const copy = (ids, parent) => {
    for (const id of Array.isArray(ids) ? ids : []) {
      const from = value.nodes?.[id];
      if (!from || !["user", "assistant"].includes(from.role)) throw new Error("a message is missing or has no role");
      const node = add(chat, parent, from.role, text(from.content));
      if (from.reasoning) node.reasoning = text(from.reasoning);
      copy(from.next, node.id);
      node.at = Math.min(Number(from.at) || 0, Math.max(0, node.next.length - 1));
    }
  };
  const title = chat.title;
  copy(value.first, null);
  chat.title = title;
  chat.at = Math.min(Number(value.at) || 0, Math.max(0, chat.first.length - 1));
  if (!chat.first.length) throw new Error("there is no message");
  return chat;
}

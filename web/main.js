import * as api from "./api.js";
import { $, make } from "./dom.js";
import { dollars, prices } from "./prices.js";
import * as store from "./store.js";
import * as tree from "./tree.js";
import { View } from "./view.js";

const numbers = ["temperature", "top_p", "top_k", "min_p", "max_tokens", "seed"];
const examples = ["What is 347 + 586?", "Make 24 from 3, 4 and 2.", "Sort 41, 7, 93, 20, 66 in ascending order."];

let chat = tree.newChat();
let model = { n_ctx: 0, thinks: true };
let running = null; // {controller, node, id}
let files = []; // [{name, text}]
let spent = { hit: 0, miss: 0, out: 0 };
const view = new View(act);
const isTouch = matchMedia("(pointer: coarse)").matches;

function say(text) {
  $("status").textContent = text;
}

// ---- asking and being asked ----------------------------------------------------------------

// A question to the user: true or false, or with a value its text or null.
function askUser(text, { value, yes = "OK" } = {}) {
  const dialog = $("ask"), field = $("ask-value");
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  field.hidden = value === undefined;
  field.value = value ?? "";
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.onclose = () => {
      const isYes = dialog.returnValue === "yes";
      resolve(value === undefined ? isYes : isYes ? field.value.trim() || null : null);
    };
  });
}
$("ask-value").onkeydown = (event) => {
  if (event.key === "Enter") event.preventDefault(), $("ask").close("yes");
};

// ---- chats -----------------------------------------------------------------------------------

const stripped = (value) => JSON.parse(JSON.stringify(value, (key, v) =>
  ["isWriting", "isThinking", "showInside", "wasTouched", "read"].includes(key) ? undefined : v));
const save = () => store.put(stripped(chat)).then(list);

function open(other) {
  stop();
  chat = other;
  location.hash = chat.id;
  view.show(chat);
  fillSettings();
  meter();
  toEnd();
  list();
  $("input").focus();
}

async function list() {
  const words = $("search").value.toLowerCase();
  const has = (c) => !words || c.title.toLowerCase().includes(words) ||
    Object.values(c.nodes).some((n) => n.content.toLowerCase().includes(words));
  const items = (await store.all()).filter(has).map((c) => {
    const item = make("li", {}, make("button", { className: "open", title: c.title, onclick: () => { open(c); closeSideOnPhone(); } }, c.title),
      make("button", { className: "more", ariaLabel: `Rename ${c.title}`, onclick: () => rename(c) }, "✎"),
      make("button", { className: "more", ariaLabel: `Delete ${c.title}`, onclick: () => drop(c) }, "✕"));
    if (c.id === chat.id) item.setAttribute("aria-current", "true");
    return item;
  });
  $("history").replaceChildren(...items);
}

async function rename(c) {
  const title = await askUser("A new name for this chat", { value: c.title, yes: "Rename" });
  if (!title) return;
  const target = c.id === chat.id ? chat : c;
  target.title = title;
  await store.put(stripped(target));
  if (target === chat) $("title").textContent = title;
  list();
}

async function drop(c) {
  if (!(await askUser(`Delete "${c.title}" for good?`, { yes: "Delete" }))) return;
  if (c.id === chat.id) stop();
  await store.remove(c.id);
  if (c.id === chat.id) open(tree.newChat(chat.settings));
  list();
}

function download(name, type, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

async function importChats(file) {
  try {
    const value = JSON.parse(await file.text());
    const chats = (Array.isArray(value) ? value : [value]).map(tree.fromJson);
    for (const c of chats) await store.put(c);
    open(chats[0]);
    say(`${chats.length} chats imported`);
  } catch (e) {
    await askUser(`${file.name} cannot be imported: ${e.message}`);
  }
}

// ---- one answer --------------------------------------------------------------------------------

// What is asked for an answer: all that is said before it, and what there is of it already.
function request(node) {
  const messages = chat.system ? [{ role: "system", content: chat.system }] : [];
  for (const { role, content } of tree.pathTo(chat, chat.nodes[node.parent])) messages.push({ role, content });
  const hasThought = Boolean(node.reasoning);
  if (node.content || hasThought) messages.push({ role: "assistant", content: node.content, prefix: true,
    ...(hasThought && { reasoning_content: node.reasoning }) });
  const thinks = hasThought || $("think").getAttribute("aria-pressed") === "true";
  const body = { model: model.model || "minke", messages, stream: true, return_progress: true,
    thinking: { type: thinks ? "enabled" : "disabled" } };
  if (thinks) body.reasoning_effort = $("effort").value;
  for (const name of numbers) if (chat.settings[name] !== undefined) body[name] = chat.settings[name];
  if (chat.settings.inside)
    Object.assign(body, { logprobs: true, top_logprobs: 5, return_experts: model.n_expert > 0 });
  return body;
}

function take(node, event) {
  const progress = event.prompt_progress;
  if (progress) node.read = progress.processed / progress.total;
  if (!event.choices.length) return;
  const choice = event.choices[0], delta = choice.delta;
  running.id = event.id;
  if (delta.reasoning_content) {
    node.reasoning = (node.reasoning || "") + delta.reasoning_content;
    node.isThinking = true;
    node.thoughtStart ??= performance.now();
  }
  if (delta.content) {
    if (node.isThinking) endThought(node);
    node.content += delta.content;
  }
  for (const part of ["reasoning_content", "content"]) look(node, choice, part);
  if (choice.finish_reason) node.finish = choice.finish_reason;
  if (event.usage) count(node, event);
}

// Keeps how likely the tokens were, and which experts computed them.
function look(node, { logprobs, experts }, part) {
  if (!logprobs?.[part]?.length) return;
  (node.logprobs ??= []).push(...logprobs[part]);
  if (!experts) return;
  node.experts ??= { n_expert: experts.n_expert, layers: experts.layers, tokens: [] };
  node.experts.tokens.push(...experts[part]);
}

function endThought(node) {
  node.isThinking = false;
  node.thoughtMs = Math.round((node.thoughtMs ?? 0) + performance.now() - node.thoughtStart);
  delete node.thoughtStart;
  say("Answering");
}

function count(node, { usage, timings }) {
  node.toks = (node.toks ?? 0) + usage.completion_tokens;
  node.used = usage.total_tokens;
  if (timings) node.rate = timings.predicted_per_second;
  spent.hit += usage.prompt_cache_hit_tokens;
  spent.miss += usage.prompt_cache_miss_tokens;
  spent.out += usage.completion_tokens;
  meter();
}

// Writes an answer below parent, a question.
function answer(parent) {
  stop();
  return write(tree.add(chat, parent.id, "assistant", ""));
}

// Writes an answer, or goes on with it.
async function write(node) {
  stop();
  node.isWriting = true;
  node.finish = node.error = node.isEdited = undefined;
  const here = chat;
  running = { controller: new AbortController(), node, id: null };
  const mine = running;
  view.show(chat);
  toEnd();
  busy(true);
  say("Thinking");
  let isDue = false;
  const draw = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      if (chat !== here || !node.isWriting) return;
      const stays = isAtEnd();
      view.update(node);
      if (stays) toEnd();
    });
  };
  try {
    const response = await api.ask("v1/chat/completions", request(node), mine.controller.signal);
    for await (const event of api.events(response)) take(node, event), draw();
  } catch (e) {
    if (e.name === "AbortError") node.finish = "stopped";
    else node.error = e.message;
    if (e.status === 401) $("key-label").hidden = false, $("settings").showModal();
  }
  if (node.isThinking) endThought(node);
  node.isWriting = false;
  if (running === mine) running = null, busy(false);
  if (node.finish === "stopped" && !node.content && !node.reasoning) tree.remove(here, node);
  await store.put(stripped(here));
  list();
  if (chat !== here) return;
  const stays = isAtEnd();
  if (here.nodes[node.id]) view.update(node);
  else view.show(chat);
  if (stays) toEnd();
  say(node.error ? "" : `Done. ${node.content}`);
}

function stop() {
  running?.controller.abort();
}

function busy(is) {
  $("stop").hidden = !is;
  $("send").hidden = is;
}

function send() {
  const typed = $("input").value.trim();
  if (!typed && !files.length) return;
  const blocks = files.map((f) => `${f.name}:\n\n\`\`\`\n${f.text}\n\`\`\``);
  const text = [...blocks, typed].filter(Boolean).join("\n\n");
  $("input").value = "";
  files = [];
  showFiles();
  grow();
  const last = tree.path(chat).at(-1);
  const parent = last?.role === "user" ? last.parent : last?.id ?? null; // asks again after an error
  answer(tree.add(chat, parent, "user", text));
  $("input").focus();
}

// What the user wants of a message.
async function act(what, node, value) {
  const isQuestion = node.role === "user";
  switch (what) {
    case "turn":
      tree.turn(chat, node, value);
      view.show(chat);
      return save();
    case "copy":
      await navigator.clipboard.writeText(node.content);
      return say("Copied");
    case "edit":
      if (isQuestion) return answer(tree.add(chat, node.parent, "user", value));
      Object.assign(node, { content: value, isEdited: true, logprobs: undefined, experts: undefined });
      view.update(node);
      return save();
    case "again":
      return answer(chat.nodes[node.parent]);
    case "continue":
      $("input").focus();
      return write(node);
    case "inside":
      node.showInside = !node.showInside;
      return view.update(node);
    case "now":
      return api.ask("v1/chat/completions/control", { id: running?.id, action: "reasoning_end" }).catch(() => {});
    case "delete":
      if (!(await askUser("Delete this message and all that follow it?", { yes: "Delete" }))) return;
      tree.remove(chat, node);
      view.show(chat);
      return save();
  }
}

// ---- the page ----------------------------------------------------------------------------------

const scroller = $("scroll");
const isAtEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 50;
const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };
scroller.onscroll = () => { $("to-end").hidden = isAtEnd(); };
$("to-end").onclick = toEnd;

function meter() {
  const used = tree.path(chat).findLast((n) => n.used)?.used ?? 0;
  $("meter").textContent = used && model.n_ctx ? `${used} of ${model.n_ctx} tokens` : "";
  const { hit, miss, out } = spent;
  const costs = prices.map((p) => `$${dollars(p, spent).toFixed(6)} at ${p.who}'s`);
  const models = prices.map((p) => `${p.model} ${p.date}`).join(", ");
  if (hit + miss + out) $("cost").replaceChildren(`So far ${hit + miss} tokens in (${hit} cached), ${out} out. The same would have cost ` +
    `${costs.join(" and ")} list prices`, make("span", { className: "wide" }, ` (${models})`));
}

function grow() {
  const input = $("input");
  input.style.height = "auto";
  input.style.height = input.scrollHeight + 2 + "px";
}

function showFiles() {
  $("files").replaceChildren(...files.map((f) => make("span", {}, f.name, " ",
    make("button", { type: "button", className: "plain", ariaLabel: `Remove ${f.name}`,
      onclick: () => { files = files.filter((other) => other !== f); showFiles(); } }, "✕"))));
}

async function attach(list) {
  for (const file of list) {
    if (file.size > 2 << 20) {
      await askUser(`${file.name} has ${file.size} bytes; at most ${2 << 20} are attached.`);
      continue;
    }
    const text = await file.text();
    if (text.includes("\0")) await askUser(`${file.name} is not a text file.`);
    else files.push({ name: file.name, text });
  }
  showFiles();
}

function fillSettings() {
  $("system").value = chat.system;
  for (const name of numbers) $(name).value = chat.settings[name] ?? "";
  $("inside").checked = Boolean(chat.settings.inside);
}

function takeSettings() {
  if ($("settings").returnValue === "reset") {
    chat.system = "";
    chat.settings = {};
    fillSettings();
  } else {
    chat.system = $("system").value.trim();
    for (const name of numbers)
      if ($(name).value === "" || !$(name).checkValidity()) delete chat.settings[name];
      else chat.settings[name] = Number($(name).value);
    chat.settings.inside = $("inside").checked;
    if ($("key").value) api.setKey($("key").value), load();
  }
  if (chat.first.length) save();
}

const isPhone = () => matchMedia("(max-width: 50rem)").matches;
function side(isOpen) {
  document.body.classList.toggle("no-side", !isOpen);
  $("toggle-side").setAttribute("aria-expanded", String(isOpen));
}
const toggleSide = () => side(document.body.classList.contains("no-side"));
const closeSideOnPhone = () => isPhone() && side(false);

$("form").onsubmit = (event) => { event.preventDefault(); send(); };
$("stop").onclick = stop;
$("new").onclick = () => { open(tree.newChat(chat.settings)); closeSideOnPhone(); };
$("toggle-side").onclick = toggleSide;
$("close-side").onclick = () => side(false);
$("search").oninput = list;
$("input").oninput = grow;
$("think").onclick = (event) => {
  const isOn = event.currentTarget.getAttribute("aria-pressed") !== "true";
  event.currentTarget.setAttribute("aria-pressed", String(isOn));
  $("effort").hidden = !isOn;
};
$("attach").onclick = () => $("attach-file").click();
$("attach-file").onchange = (event) => { attach(event.target.files); };
$("input").onpaste = (event) => { if (event.clipboardData.files.length) event.preventDefault(), attach(event.clipboardData.files); };
document.ondragover = (event) => event.preventDefault();
document.ondrop = (event) => { event.preventDefault(); attach(event.dataTransfer.files); };
$("export-all").onclick = async () => download("minke-chats.json", "application/json", JSON.stringify(await store.all(), null, 1));
$("export-md").onclick = () => download("chat.md", "text/markdown", tree.markdown(chat));
$("import").onclick = () => $("import-file").click();
$("import-file").onchange = (event) => { importChats(event.target.files[0]); event.target.value = ""; };
$("open-settings").onclick = () => { fillSettings(); $("settings").returnValue = ""; $("settings").showModal(); };
$("settings").onclose = takeSettings;
$("open-help").onclick = () => $("help").showModal();
$("messages").onclick = (event) => {
  if (event.target.className !== "copy-code") return;
  navigator.clipboard.writeText(event.target.parentElement.querySelector("code").textContent);
  event.target.textContent = "Copied";
  setTimeout(() => { event.target.textContent = "Copy"; }, 1500);
};

$("input").onkeydown = (event) => {
  if (event.isComposing || event.keyCode === 229) return; // an input method is at work
  const isSend = event.key === "Enter" && (event.ctrlKey || event.metaKey || (!event.shiftKey && !isTouch));
  if (isSend) event.preventDefault(), running || send();
  if (event.key === "ArrowUp" && !$("input").value) event.preventDefault(), view.editLastQuestion();
};

document.onkeydown = (event) => {
  if (document.querySelector("dialog[open]")) return;
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName);
  const control = event.ctrlKey || event.metaKey, letter = event.key.toLowerCase();
  const keys = [
    [event.key === "Escape" && running, stop],
    [control && event.shiftKey && letter === "o", () => $("new").click()],
    [control && event.shiftKey && letter === "d", () => drop(chat)],
    [control && !event.shiftKey && letter === "k", () => { side(true); $("search").focus(); }],
    [control && !event.shiftKey && letter === "b", toggleSide],
    [event.key === "/" && !isTyping, () => $("input").focus()],
    [event.key === "?" && !isTyping, () => $("help").showModal()],
  ];
  const hit = keys.find(([is]) => is);
  if (hit) event.preventDefault(), hit[1]();
};

// What the server has; asked again once there is a key.
async function load() {
  try {
    model = await (await api.ask("props")).json();
    $("think").hidden = !model.can_choose_thinking;
    $("effort").hidden = !model.thinks;
    $("think").setAttribute("aria-pressed", String(model.thinks));
    meter();
  } catch (e) {
    if (e.status === 401) $("key-label").hidden = false, $("settings").showModal();
    else say(`The server does not answer: ${e.message}`);
  }
}

async function start() {
  $("prices").textContent = "Prices of a million tokens (cached input, new input, output): " +
    prices.map((p) => `${p.who}, ${p.model}, ${p.date}: $${p.hit}, $${p.miss}, $${p.out}`).join("; ") + ".";
  if (isPhone()) side(false);
  $("examples").replaceChildren(...examples.map((text) => make("button", { type: "button",
    onclick: () => { $("input").value = text; send(); } }, text)));
  await load();
  const known = location.hash && (await store.get(location.hash.slice(1)));
  open(known || tree.newChat());
}
start();

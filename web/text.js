// A model's Markdown as safe HTML: code first, then formulas, then the rest; no HTML of its own, no
// images (they would tell their server what was said), links open elsewhere.

const { marked, DOMPurify, katex, hljs } = window;

// Debian's purify 2.4.1 reads this variable without declaring it; its own check of the depth of the
// node at hand stands beside.
window.shadowNode = {};

// $x$ is a formula only if it looks like one: no blank inside the dollars, no digit after them.
const formulas = [
  [/^\$\$([\s\S]+?)\$\$/, true], [/^\\\[([\s\S]+?)\\\]/, true],
  [/^\\\(([\s\S]+?)\\\)/, false], [/^\$(?![\s$])([^$\n]*?[^\s$\\])\$(?!\d)/, false],
];

function formula(tex, displayMode) {
  try {
    return katex.renderToString(tex, { displayMode, output: "mathml", throwOnError: true, maxExpand: 200 });
  } catch {
    const code = document.createElement("code");
    code.textContent = tex;
    return code.outerHTML;
  }
}

marked.use({
  gfm: true,
  breaks: true,
  extensions: [{
    name: "formula",
    level: "inline",
    start: (src) => src.search(/\$|\\\(|\\\[/),
    tokenizer(src) {
      for (const [pattern, isBlock] of formulas) {
        const match = pattern.exec(src);
        if (match) return { type: "formula", raw: match[0], tex: match[1].trim(), isBlock };
      }
    },
    renderer: (token) => formula(token.tex, token.isBlock),
  }],
  renderer: {
    html: (html) => html.replace(/&/g, "&amp;").replace(/</g, "&lt;"),
    image: (href, title, text) => text,
  },
  tokenizer: {
    // "\(" and "\[" are formulas, not escapes.
    escape: (src) => (/^\\[([]/.test(src) ? undefined : false),
  },
});

const allowed = {
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
  FORBID_TAGS: ["img", "style", "form", "input", "button", "iframe", "video", "audio", "svg"],
  FORBID_ATTR: ["style"],
  ADD_TAGS: ["semantics", "annotation"],
};

function dress(element) {
  for (const a of element.querySelectorAll("a")) {
    a.target = "_blank";
    a.rel = "noopener noreferrer";
  }
  for (const code of element.querySelectorAll("pre > code")) {
    const language = /language-([\w+#-]+)/.exec(code.className)?.[1];
    if (language && hljs.getLanguage(language) && code.textContent.length < 50000)
      code.innerHTML = hljs.highlight(language, code.textContent, true).value;
    const copy = document.createElement("button");
    copy.textContent = "Copy";
    copy.type = "button";
    copy.className = "copy-code";
    code.parentElement.append(copy);
  }
}

// Puts the Markdown into the element.
export function render(element, text) {
  element.innerHTML = DOMPurify.sanitize(marked.parse(text), allowed);
  dress(element);
}

// The chat page in a real browser: node page.mjs [--shots DIR] URL.  Packages are looked for where it
// is started.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const require = createRequire(process.cwd() + "/x.js");
const puppeteer = (await import(pathToFileURL(require.resolve("puppeteer-core")))).default;
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const url = process.argv.at(-1).replace(/\/?$/, "/");
const shots = process.argv.includes("--shots") ? process.argv[process.argv.indexOf("--shots") + 1] : null;

const browser = await puppeteer.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu"], headless: true });

const faults = []; // what the page complains of, in any test
async function open(size = { width: 1200, height: 800 }, dark = false) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  await page.setViewport(size);
  await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: dark ? "dark" : "light" }]);
  page.on("pageerror", (e) => faults.push(String(e)));
  page.on("console", (m) => m.type() === "error" && faults.push(m.text()));
  page.on("request", (r) => { if (!r.url().startsWith(url) && !/^(data|blob):/.test(r.url())) faults.push("asks " + r.url()); });
  await page.goto(url);
  await page.waitForSelector("#examples button");
  return page;
}

const text = (page, selector) => page.$eval(selector, (e) => e.textContent);
const isIdle = (page) => page.waitForFunction(() => document.getElementById("stop").hidden &&
  !document.querySelector("article[aria-busy=true]"), { timeout: 20000 });
async function ask(page, question) {
  await page.type("#input", question);
  await page.keyboard.press("Enter");
  await page.waitForSelector("article.assistant");
  await isIdle(page);
}
async function set(page, setting, value) {
  await page.evaluate(() => document.getElementById("open-settings").click());
  await page.$eval("#" + setting, (e, v) => { e.value = v; }, value);
  await page.$eval("#settings button[value=ok]", (b) => b.click());
}
const press = (page, article, label) => page.$$eval(`${article} .tools button`, (list, wanted) =>
  list.find((b) => b.textContent === wanted).click(), label);
// What the line says of tokens and of dollars fits the prices.
async function checkCost(page) {
  const line = await text(page, "#cost");
  const [all, hit, out, ...costs] = line.match(/\d+(\.\d{6})?(?= tokens in| cached| out| at )/g).map(Number);
  const want = await page.evaluate(async (toks) => {
    const { dollars, prices } = await import("/prices.js");
    return prices.map((p) => Number(dollars(p, toks).toFixed(6)));
  }, { hit, miss: all - hit, out });
  assert.deepEqual(costs, want, line);
  assert.ok(out > 0 && costs.length === 2 && costs.every((c) => c > 0), line);
  assert.match(line, /at DeepSeek's and .* at OpenAI's list prices \(deepseek-flash 20\d\d-\d\d, gpt-\S+ 20\d\d-\d\d\)$/);
}
async function checkAccess(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => axe.run());
  const bad = violations.filter((v) => ["serious", "critical"].includes(v.impact));
  assert.deepEqual(bad.map((v) => `${v.id}: ${v.nodes[0].html.slice(0, 120)}`), [], what);
}

const tests = {
  async "a question is answered, with its thought"() {
    const page = await open();
    await ask(page, "What is 12 + 29?");
    assert.equal((await text(page, "article.user .text")), "What is 12 + 29?");
    assert.match(await text(page, "article.assistant .text"), /\d/);
    assert.match(await text(page, "article.assistant summary"), /^Thought for/);
    assert.equal(await page.$eval("article.assistant details", (d) => d.open), false);
    assert.match(await text(page, "article.assistant .tools"), /tokens, \d+\/s/);
    assert.match(await text(page, "#meter"), /\d+ of \d+ tokens/);
    await checkCost(page);
    await checkAccess(page, "light");
    if (shots) await page.screenshot({ path: `${shots}/light.png` });
  },
  async "versions of a question and of an answer"() {
    const page = await open();
    await ask(page, "What is 12 + 29?");
    await press(page, "article.assistant", "Again");
    await page.waitForFunction(() => document.querySelector("article.assistant .tools")?.textContent.includes("2/2"));
    await isIdle(page);
    assert.match(await text(page, "#cost"), /\([1-9]\d* cached\)/);
    await checkCost(page);
    await press(page, "article.assistant", "‹");
    assert.match(await text(page, "article.assistant .tools"), /1\/2/);
    await press(page, "article.user", "Edit");
    await page.$eval("article.user textarea", (e) => { e.value = "What is 5 + 6?"; });
    await press(page, "article.user", "Send");
    await page.waitForFunction(() => document.querySelector("article.user .tools")?.textContent.includes("2/2"));
    await isIdle(page);
    assert.equal(await text(page, "article.user .text"), "What is 5 + 6?");
    await press(page, "article.user", "‹");
    assert.equal(await text(page, "article.user .text"), "What is 12 + 29?");
  },
  async "chats are found again after a reload"() {
    const page = await open();
    await ask(page, "What is 12 + 29?");
    const answer = await text(page, "article.assistant .text");
    await page.reload();
    await page.waitForSelector("article.assistant");
    assert.equal(await text(page, "article.assistant .text"), answer);
    await page.click("#new");
    assert.equal(await page.$$eval("article", (l) => l.length), 0);
    await ask(page, "What is 3 + 4?");
    await page.waitForFunction(() => document.querySelectorAll("#history li").length === 2);
    await page.type("#search", "12 + 29");
    await page.waitForFunction(() => document.querySelectorAll("#history li").length === 1);
    await page.$eval("#history .open", (b) => b.click());
    assert.equal(await text(page, "article.user .text"), "What is 12 + 29?");
    await page.$eval("#history .more:last-child", (b) => b.click());
    await page.click("#ask-yes");
    await page.waitForFunction(() => !document.querySelector("article"));
  },
  async "an answer is stopped and its part kept"() {
    const page = await open();
    await set(page, "max_tokens", "100000");
    await page.evaluate(() => { // an answer without end
      const real = window.fetch;
      window.fetch = (u, o) => real(u, o?.body ? { ...o, body: JSON.stringify({ ...JSON.parse(o.body), ignore_eos: true }) } : o);
    });
    await page.type("#input", "What is 12 + 29?");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.querySelector("article.assistant .text")?.textContent.length > 20);
    await page.keyboard.press("Escape");
    await isIdle(page);
    assert.match(await text(page, "article.assistant .tools"), /stopped/);
    assert.ok((await text(page, "article.assistant .text")).length > 20);
    const metrics = async () => (await (await fetch(url + "metrics")).text()).match(/minke_num_requests_running (\d+)/)[1];
    for (let i = 0; i < 50 && (await metrics()) !== "0"; i++) await new Promise((r) => setTimeout(r, 100));
    assert.equal(await metrics(), "0");
  },
  async "an answer that was cut, or edited, goes on"() {
    const page = await open();
    await set(page, "max_tokens", "10");
    await ask(page, "What is 12 + 29?");
    assert.match(await text(page, "article.assistant .tools"), /cut at the longest length/);
    const begun = await text(page, "article.assistant details div");
    assert.ok(begun.length > 3 && !(await text(page, "article.assistant .text")));
    await set(page, "max_tokens", "");
    const goOn = async () => {
      await page.$$eval("article.assistant .tools button", (list) => list.find((b) => b.textContent === "Continue").focus());
      await page.keyboard.press("Enter");
      await isIdle(page);
      assert.equal(await page.evaluate(() => document.activeElement.id), "input");
    };
    await goOn();
    const thought = await text(page, "article.assistant details div");
    assert.ok(thought.startsWith(begun) && thought.length > begun.length);
    assert.match(await text(page, "article.assistant .text"), /\d/);
    assert.doesNotMatch(await text(page, "article.assistant .tools"), /Continue|cut|2\/2/);
    await press(page, "article.assistant", "Edit");
    await page.$eval("article.assistant textarea", (e) => { e.value = "It is 4"; });
    await press(page, "article.assistant", "Save");
    await goOn();
    assert.match(await text(page, "article.assistant .text"), /^It is 4./);
    assert.equal(await text(page, "article.assistant details div"), thought);
    await checkAccess(page, "continued");
  },
  async "the keyboard is enough"() {
    const page = await open();
    await page.keyboard.type("What is 12 + 29?");
    await page.keyboard.press("Enter");
    await page.waitForSelector("article.assistant");
    await isIdle(page);
    assert.equal(await page.evaluate(() => document.activeElement.id), "input");
    await page.keyboard.press("ArrowUp");
    assert.equal(await page.evaluate(() => document.activeElement.closest("article")?.className), "user");
    await page.keyboard.press("Escape");
    await page.keyboard.press("/");
    assert.equal(await page.evaluate(() => document.activeElement.id), "input");
    await page.keyboard.down("Control"), await page.keyboard.press("k"), await page.keyboard.up("Control");
    assert.equal(await page.evaluate(() => document.activeElement.id), "search");
    await page.keyboard.down("Control"), await page.keyboard.press("b"), await page.keyboard.up("Control");
    assert.ok(await page.$eval("body", (b) => b.classList.contains("no-side")));
    await page.evaluate(() => document.activeElement.blur());
    await page.keyboard.press("?");
    assert.ok(await page.$eval("#help", (d) => d.open));
    assert.match(await text(page, "#prices"), /DeepSeek, \S+, 20.*\$0\.\d+, .*OpenAI/);
    await checkAccess(page, "help");
  },
  async "Markdown, code and formulas, and nothing that acts"() {
    const page = await open();
    const [html, acting] = await page.evaluate(async () => {
      const { render } = await import("/text.js");
      const e = document.createElement("div");
      render(e, [
        "# Title\n\n- **bold** and `x < y`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        "```c\nint x = 1; /* $not$ */\n```\n", "A $x^2$ and \\(y\\) and \\[\\frac{1}{2}\\] costs $5 and $6.",
        "<img src=x onerror=alert(1)> <script>alert(2)</script> ![p](http://evil.example/x.png)",
        "[ok](https://a.example) [bad](javascript:alert(3)) <b onclick=alert(4)>b</b>",
      ].join("\n\n"));
      return [e.innerHTML, e.querySelectorAll("img, script, [onerror], [onclick], a[href^=javascript]").length];
    });
    assert.match(html, /<h1.*Title/);
    assert.match(html, /<table>/);
    assert.match(html, /hljs-/);
    assert.equal(html.match(/<math/g).length, 3, html);
    assert.match(html, /costs \$5 and \$6/);
    assert.equal(acting, 0, html);
    assert.match(html, /rel="noopener noreferrer"/);
  },
  async "how likely each token was"() {
    const page = await open();
    await page.evaluate(() => document.getElementById("open-settings").click());
    await page.click("#inside");
    await page.$eval("#settings button[value=ok]", (b) => b.click());
    await ask(page, "What is 12 + 29?");
    await press(page, "article.assistant", "Inside");
    assert.ok((await page.$$(".inside button")).length > 5);
    await page.click(".inside button");
    assert.equal(await page.$$eval(".inside table tr", (l) => l.length), 5);
    // The experts that computed them: a map of 4 layers with 8 experts, and each token's own 2 in each.
    const n = (await page.$$(".inside button")).length;
    const counts = await page.$$eval(".experts svg > rect title", (l) => l.map((t) => t.textContent));
    assert.equal(counts.length, 4 * 8);
    assert.ok(counts.every((t) => t.endsWith(` of ${n} tokens`)));
    assert.equal(counts.reduce((sum, t) => sum + Number(/: (\d+) of/.exec(t)[1]), 0), 4 * 2 * n);
    const own = () => page.$$eval(".experts .own rect", (l) => l.map((r) => r.getAttribute("x")).join());
    await page.focus(".inside button:nth-child(3)");
    const third = await own();
    assert.equal(third.split(",").length, 4 * 2);
    const said = await page.$eval(".inside button:nth-child(3)", (b) => document.getElementById(b.getAttribute("aria-describedby")).textContent);
    assert.equal(said.match(/layer \d+: \d+, \d+/g).join().replace(/layer \d+: /g, "").replace(/ /g, ""), third);
    await page.hover(".inside button:nth-child(5)");
    assert.notEqual(await own(), third);
    if (shots) await page.screenshot({ path: `${shots}/inside.png` });
    await page.$eval(".experts summary", (s) => s.click());
    assert.equal(await page.$$eval(".experts details tr", (l) => l.length), 1 + 4);
    await checkAccess(page, "inside");
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "dark" }]);
    await checkAccess(page, "inside, dark");
  },
  async "chats go to a file and come back"() {
    const page = await open();
    await ask(page, "What is 12 + 29?");
    const file = await page.evaluate(async () => {
      const store = await import("/store.js"), tree = await import("/tree.js");
      const all = await store.all();
      const back = tree.fromJson(JSON.parse(JSON.stringify(all[0])));
      let refused = 0;
      for (const bad of [{}, { first: ["x"] }, { first: ["a"], nodes: { a: { role: "king" } } }])
        try { tree.fromJson(bad); } catch { refused++; }
      return { same: tree.markdown(back) === tree.markdown(all[0]), markdown: tree.markdown(back), refused };
    });
    assert.ok(file.same);
    assert.equal(file.refused, 3);
    assert.match(file.markdown, /## You\n\nWhat is 12 \+ 29\?/);
  },
  async "a phone, and the dark"() {
    const page = await open({ width: 390, height: 780, isMobile: true, hasTouch: true }, true);
    await page.type("#input", "What is 12 + 29?");
    await page.tap("#send");
    await page.waitForSelector("article.assistant");
    await isIdle(page);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    assert.equal(await page.$eval("#side", (e) => getComputedStyle(e).display), "none");
    await checkAccess(page, "phone, dark");
    if (shots) await page.screenshot({ path: `${shots}/phone.png` });
    const wide = await open(undefined, true);
    await ask(wide, "Sort 41, 7, 93, 20, 66 in ascending order.");
    await checkAccess(wide, "dark");
    if (shots) await wide.screenshot({ path: `${shots}/dark.png` });
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests))
  try {
    faults.length = 0;
    await test();
    assert.deepEqual(faults, []);
  } catch (e) {
    failed++;
    console.log(`FAIL: ${name}: ${e.stack}`);
  }
await browser.close();
process.exit(failed ? 1 : 0);

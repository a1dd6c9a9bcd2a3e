// The clients that JavaScript programs use, against a minke server: node clients.mjs URL.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

// The packages are where the test was started, not beside this file.
const resolve = createRequire(process.cwd() + "/x.js").resolve;
const load = (name) => import(pathToFileURL(resolve(name)));
const url = process.argv[2];
const messages = [{ role: "user", content: "What is 12 + 29?" }];
const model = "tiny";

async function openai() {
  const { default: OpenAI } = await load("openai");
  const c = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
  const whole = await c.chat.completions.create({ model, messages, seed: 7 });
  const message = whole.choices[0].message;
  assert.ok(message.reasoning_content && message.content);
  let text = "", thought = "";
  for await (const chunk of await c.chat.completions.create({ model, messages, seed: 7, stream: true })) {
    text += chunk.choices[0].delta.content ?? "";
    thought += chunk.choices[0].delta.reasoning_content ?? "";
  }
  assert.deepEqual([text, thought], [message.content, message.reasoning_content]);
  const final = await c.chat.completions.stream({ model, messages, seed: 7 }).finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
  await assert.rejects(c.chat.completions.create({ model, messages, top_p: 7 }),
    (e) => e.status === 400 && e.param === "top_p");
  const response = await c.responses.create({ model, input: messages[0].content });
  assert.ok(response.output_text);
  assert.equal((await c.responses.stream({ model, input: "Hi" }).finalResponse()).status, "completed");
  const stream = await c.completions.create({ model, prompt: "1", stream: true, ignore_eos: true });
  for await (const _ of stream) break; // cancels
}

async function anthropic() {
  const { default: Anthropic } = await load("@anthropic-ai/sdk");
  const c = new Anthropic({ baseURL: url, apiKey: "none", maxRetries: 0 });
  const { input_tokens } = await c.messages.countTokens({ model, messages });
  const whole = await c.messages.create({ model, max_tokens: 200, messages });
  assert.deepEqual(whole.content.map((b) => b.type), ["thinking", "text"]);
  assert.equal(whole.usage.input_tokens + whole.usage.cache_read_input_tokens, input_tokens);
  const stream = c.messages.stream({ model, max_tokens: 200, messages });
  let n = 0;
  stream.on("text", () => n++);
  const final = await stream.finalMessage();
  assert.ok(n > 0 && final.stop_reason === "end_turn" && final.usage.output_tokens > 0);
  await assert.rejects(c.messages.create({ model, max_tokens: -1, messages }), (e) => e.status === 400);
}

async function aiSdk() {
  const { generateText, streamText } = await load("ai");
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const { createDeepSeek } = await load("@ai-sdk/deepseek");
  for (const provider of [createOpenAICompatible({ name: "minke", baseURL: url + "/v1", includeUsage: true }),
    createDeepSeek({ baseURL: url, apiKey: "none" })]) {
    const whole = await generateText({ model: provider(model), messages, seed: 7, maxRetries: 0 });
    assert.ok(whole.text && whole.reasoningText && whole.finishReason === "stop");
    assert.ok(whole.usage.inputTokens > 0 && whole.usage.outputTokens > 0);
    const stream = streamText({ model: provider(model), messages, maxRetries: 0 });
    let text = "";
    for await (const part of stream.textStream) text += part;
    assert.equal(text, await stream.text);
    assert.equal(await stream.finishReason, "stop");
    await assert.rejects(generateText({ model: provider(model), messages, temperature: 9, maxRetries: 0 }));
  }
}

async function langchain() {
  const { ChatOpenAI } = await load("@langchain/openai");
  const { ChatDeepSeek } = await load("@langchain/deepseek");
  const configuration = { baseURL: url + "/v1" };
  for (const chat of [new ChatOpenAI({ model, apiKey: "none", maxRetries: 0, configuration }),
    new ChatDeepSeek({ model, apiKey: "none", maxRetries: 0, configuration })]) {
    const whole = await chat.invoke("What is 12 + 29?");
    assert.ok(whole.content && whole.usage_metadata.total_tokens > 0);
    let text = "";
    for await (const chunk of await chat.stream("What is 12 + 29?")) text += chunk.content;
    assert.ok(text);
  }
}

const sum = { type: "object", properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"], additionalProperties: false };

async function tools() {
  const { default: OpenAI } = await load("openai");
  const { generateObject, generateText, jsonSchema, tool } = await load("ai");
  const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
  const { ChatOpenAI } = await load("@langchain/openai");
  const { ChatDeepSeek } = await load("@langchain/deepseek");
  const c = new OpenAI({ baseURL: url + "/v1", apiKey: "none", maxRetries: 0 });
  let calls = 0;
  const runner = c.chat.completions.runTools({ model, messages, parallel_tool_calls: false,
    tool_choice: { type: "function", function: { name: "add" } },
    tools: [{ type: "function", function: { name: "add", parameters: sum, parse: JSON.parse,
      function: ({ a, b }) => (calls++, String(a + b)) } }] });
  await runner.done();
  assert.equal(calls, 1);
  const provider = createOpenAICompatible({ name: "minke", baseURL: url + "/v1", supportsStructuredOutputs: true });
  const { object } = await generateObject({ model: provider(model), messages, schema: jsonSchema(sum), maxRetries: 0 });
  assert.deepEqual(Object.keys(object), ["a", "b"]);
  const { toolCalls } = await generateText({ model: provider(model), messages, toolChoice: "required", maxRetries: 0,
    tools: { add: tool({ description: "Adds.", inputSchema: jsonSchema(sum) }) } });
  assert.equal(toolCalls[0].toolName, "add");
  for (const Chat of [ChatOpenAI, ChatDeepSeek]) {
    const chat = new Chat({ model, apiKey: "none", maxRetries: 0, configuration: { baseURL: url + "/v1" } });
    const got = await chat.withStructuredOutput({ title: "sum", ...sum }).invoke("What is 12 + 29?");
    assert.deepEqual(Object.keys(got), ["a", "b"]);
  }
}

let failed = false;
for (const test of [openai, anthropic, aiSdk, langchain, tools])
  try {
    await test();
  } catch (e) {
    failed = true;
    console.log(`FAIL: ${test.name}: ${e.stack}`);
  }
process.exit(failed ? 1 : 0);

// Clients in JavaScript. Runs in a folder that has them in node_modules: node node_clients.mjs URL [WORD]
// Prints one JSON object: client -> ability -> "" where it works, "cannot: ..." where the client has
// no call for it, else the error.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { Cannot, cannot, fails, journey, png, record, runTool, same } from "./node_checks.mjs";

const [url, word] = process.argv.slice(2);
const require = createRequire(pathToFileURL(process.cwd() + "/"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`, "utf8")).version;
const words = JSON.parse(readFileSync(new URL("./words.json", import.meta.url), "utf8"));
const { key, model, adapter, city: parameters, record: schema, person_schema: person } = words;
const user = (content) => ({ role: "user", content });
const ask = [user(words.ask)];
const tool = (name, given = parameters) => ({ type: "function", function: { name, description: "x", parameters: given } });
const pictures = [png(0), png(200)];
const place = { model, prompt: "x = 1\n", suffix: "\ny = x\n" };
const repeat = [{ role: "system", content: "" }, user(`${words.repeat}${words.odd_text}`)];
const empty = [...repeat, user(""), { role: "assistant", content: "" }, ...ask];
const isText = (found) => same(typeof found, "string");
const collect = async (stream, add) => {
  let text = "";
  for await (const part of stream) text += add(part) ?? "";
  return text;
};

async function openai() {
  const OpenAI = (await load("openai")).default;
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const chat = (more = {}) => client.chat.completions.create({ model, messages: ask, ...more });
  const said = async (messages, more = {}) => (await chat({ messages, ...more })).choices[0].message;
  const streamed = async (messages, more = {}) =>
    (await client.chat.completions.stream({ model, messages, ...more }).finalChatCompletion()).choices[0].message;
  const structured = async (text, given) => {
    const format = { type: "json_schema", json_schema: { name: "r", schema: given, strict: true } };
    return JSON.parse((await said([user(text)], { response_format: format, max_tokens: 250 })).content);
  };
  const loop = async (send) => {
    const [history, tools] = [[user(words.ask_loop)], [tool("weather"), tool("people")]];
    for (let turns = 0; ; turns++) {
      const found = await send(history, { tools });
      if (!found.tool_calls?.length) return same([turns, found.content], [words.cities.length, journey(words)]);
      history.push(found);
      for (const { id, function: call } of found.tool_calls) {
        const content = runTool(call.name, JSON.parse(call.arguments));
        history.push({ role: "tool", tool_call_id: id, content });
      }
    }
  };
  const image = (data) => ({ type: "image_url", image_url: { url: `data:image/png;base64,${data}` } });
  return {
    chat: async () => same((await said(ask)).content),
    stream: async () => same(await collect(await chat({ stream: true }), (part) => part.choices[0]?.delta.content)),
    tools: async () => {
      const history = [user(words.ask_weather)];
      const found = await said(history, { tools: [tool("weather")] });
      history.push(found, { role: "tool", tool_call_id: found.tool_calls[0].id, content: "warm" });
      same((await said(history, { tools: [tool("weather")] })).content, words.warm);
    },
    structured: async () => record(await structured(words.ask_record, schema)),
    infill: async () => isText((await client.completions.create({ ...place, max_tokens: 8 })).choices[0].text),
    errors: () => fails(() => chat({ model: "other" })),
    adapter: async () => same((await said(ask, { model: adapter })).content, words.formal),
    nested: async () => same(await structured(words.ask_person, person), words.person),
    "nested tool": async () => {
      const found = await said([user(words.ask_person)], { tools: [tool("save", person)] });
      same(JSON.parse(found.tool_calls[0].function.arguments), words.person);
    },
    loop: async () => {
      await loop(said);
      await loop(streamed);
    },
    images: async () => {
      const content = [...pictures.map(image), { type: "text", text: words.ask_image }];
      same((await said([user(content)])).content, "2 images");
    },
    reasoning: async () => {
      const found = await said([user(words.ask_thought)], { reasoning_effort: "high" });
      same([found.reasoning_content, found.content], [words.thought, words.thought_out]);
      same((await said([user(words.ask_thought), found, ...ask], { reasoning_effort: "high" })).content);
    },
    usage: async () => {
      const parts = [];
      for await (const part of await chat({ stream: true, stream_options: { include_usage: true } })) parts.push(part);
      const { usage } = parts.at(-1);
      same(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
    },
    options: async () => {
      const more = { n: 3, stop: ["friend"], presence_penalty: 0.5, frequency_penalty: 0.5, seed: 1 };
      same((await chat(more)).choices.map((one) => one.message.content), Array(3).fill("Hello there, "));
    },
    unicode: async () => {
      for (const send of [said, streamed]) {
        same((await send(repeat)).content, words.odd_text);
        same((await send(empty)).content);
      }
    },
  };
}

async function vercel(responses) {
  const ai = await load("ai");
  const { createOpenAI } = await load("@ai-sdk/openai");
  const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
  const make = (name) => (responses ? provider.responses(name) : provider.chat(name));
  const base = { model: make(model), maxRetries: 0 };
  const made = (name, execute, given = parameters) =>
    ai.tool({ description: "x", inputSchema: ai.jsonSchema(given), execute: async (given) => execute(name, given) });
  const said = async (given) => (await ai.generateText({ ...base, ...given })).text;
  const written = async (given) => {
    const parts = collect(ai.streamText({ ...base, ...given }).textStream, (part) => part);
    return await parts;
  };
  const object = async (prompt, given) =>
    (await ai.generateObject({ ...base, schema: ai.jsonSchema(given), prompt, maxOutputTokens: 250 })).object;
  const reads = "its messages have no empty texts";
  return {
    chat: async () => same(await said({ prompt: words.ask })),
    stream: async () => same(await written({ prompt: words.ask })),
    tools: async () => {
      const tools = { weather: made("weather", () => "warm") };
      same(await said({ tools, stopWhen: ai.stepCountIs(3), prompt: words.ask_weather }), words.warm);
    },
    structured: async () => record(await object(words.ask_record, schema)),
    infill: cannot("it has no call for it"),
    errors: () => fails(() => ai.generateText({ ...base, model: make("other"), prompt: "x" })),
    adapter: async () => same(await said({ model: make(adapter), prompt: words.ask }), words.formal),
    nested: async () => same(await object(words.ask_person, person), words.person),
    "nested tool": async () => {
      const found = [];
      const tools = { save: made("save", (_, given) => (found.push(given), "done"), person) };
      await said({ tools, stopWhen: ai.stepCountIs(3), prompt: words.ask_person });
      same(found, [words.person]);
    },
    loop: async () => {
      const tools = { weather: made("weather", runTool), people: made("people", runTool) };
      const given = { tools, stopWhen: ai.stepCountIs(9), prompt: words.ask_loop };
      for (const send of [said, written]) same((await send(given)).slice(-journey(words).length), journey(words));
    },
    images: async () => {
      const content = pictures.map((data) => ({ type: "image", image: data, mediaType: "image/png" }));
      const messages = [user([...content, { type: "text", text: words.ask_image }])];
      same(await said({ messages }), "2 images");
    },
    reasoning: responses
      ? async () => {
          const openai = { reasoningEffort: "high", reasoningSummary: "auto", forceReasoning: true };
          const found = await ai.generateText({ ...base, prompt: words.ask_thought, providerOptions: { openai } });
          same([found.reasoningText, found.text], [words.thought, words.thought_out]);
        }
      : cannot("it leaves reasoning_content out"),
    usage: async () => {
      const stream = ai.streamText({ ...base, prompt: words.ask });
      await stream.consumeStream();
      const usage = await stream.usage;
      same(usage.totalTokens, usage.inputTokens + usage.outputTokens);
    },
    options: responses
      ? cannot("a response has neither n, stop nor penalties")
      : async () => {
          const more = { stopSequences: ["friend"], presencePenalty: 0.5, frequencyPenalty: 0.5, seed: 1 };
          same(await said({ prompt: words.ask, ...more }), "Hello there, ");
        },
    unicode: async () => {
      for (const send of [said, written]) same(await send({ prompt: repeat[1].content, system: "" }), words.odd_text);
      same(await said({ messages: empty.slice(1) }));
    },
  };
}

async function ollama() {
  const { Ollama } = await load("ollama");
  const client = new Ollama({ host: url, headers: { authorization: `Bearer ${key}` } });
  const said = async (messages, more = {}) => (await client.chat({ model, messages, ...more })).message;
  const streamed = async (messages, more = {}) => {
    const found = { role: "assistant", content: "", thinking: "" };
    for await (const { message } of await client.chat({ model, messages, stream: true, ...more })) {
      found.content += message.content;
      found.thinking += message.thinking ?? "";
      if (message.tool_calls) found.tool_calls = [...(found.tool_calls ?? []), ...message.tool_calls];
    }
    return found;
  };
  const structured = async (text, format) =>
    JSON.parse((await said([user(text)], { format, options: { num_predict: 250 } })).content);
  const loop = async (send) => {
    const [history, tools] = [[user(words.ask_loop)], [tool("weather"), tool("people")]];
    for (let turns = 0; ; turns++) {
      const found = await send(history, { tools });
      if (!found.tool_calls?.length) return same([turns, found.content], [words.cities.length, journey(words)]);
      history.push(found);
      for (const { function: call } of found.tool_calls)
        history.push({ role: "tool", content: runTool(call.name, call.arguments), tool_name: call.name });
    }
  };
  return {
    chat: async () => same((await said(ask)).content),
    stream: async () => same((await streamed(ask)).content),
    tools: async () => {
      const history = [user(words.ask_weather)];
      const found = await said(history, { tools: [tool("weather")] });
      history.push(found, { role: "tool", content: "warm", tool_name: found.tool_calls[0].function.name });
      same((await said(history, { tools: [tool("weather")] })).content, words.warm);
    },
    structured: async () => record(await structured(words.ask_record, schema)),
    infill: async () => isText((await client.generate({ ...place, options: { num_predict: 8 } })).response),
    errors: () => fails(() => client.chat({ model: "other", messages: ask })),
    adapter: async () => same((await said(ask, { model: adapter })).content, words.formal),
    nested: async () => same(await structured(words.ask_person, person), words.person),
    "nested tool": async () => {
      const found = await said([user(words.ask_person)], { tools: [tool("save", person)] });
      same(found.tool_calls[0].function.arguments, words.person);
    },
    loop: async () => {
      await loop(said);
      await loop(streamed);
    },
    images: async () => same((await said([{ ...user(words.ask_image), images: pictures }])).content, "2 images"),
    reasoning: async () => {
      for (const send of [said, streamed]) {
        const found = await send([user(words.ask_thought)], { think: true });
        same([found.thinking, found.content], [words.thought, words.thought_out]);
        same((await send([user(words.ask_thought), found, ...ask], { think: true })).content);
      }
    },
    usage: async () => {
      let last;
      for await (last of await client.chat({ model, messages: ask, stream: true }));
      same([last.done, last.prompt_eval_count > 0, last.eval_count >= words.hello.length], [true, true, true]);
    },
    options: async () => {
      const options = { stop: ["friend"], presence_penalty: 0.5, repeat_penalty: 1.1, seed: 1 };
      same((await said(ask, { options })).content, "Hello there, ");
    },
    unicode: async () => {
      for (const send of [said, streamed]) {
        same((await send(repeat)).content, words.odd_text);
        same((await send(empty)).content);
      }
    },
  };
}

async function anthropic() {
  const Anthropic = (await load("@anthropic-ai/sdk")).default;
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  const given = { model, max_tokens: 250 };
  const said = (messages, more = {}) => client.messages.create({ ...given, messages, ...more });
  const streamed = (messages, more = {}) => client.messages.stream({ ...given, messages, ...more }).finalMessage();
  const text = (found) => found.content.map((block) => block.text ?? "").join("");
  const uses = (found) => found.content.filter((block) => block.type === "tool_use");
  const made = (name, input_schema = parameters) => ({ name, description: "x", input_schema });
  const result = (use, content) => ({ type: "tool_result", tool_use_id: use.id, content });
  const structured = async (said_, given) =>
    JSON.parse(text(await said([user(said_)], { output_config: { format: { type: "json_schema", schema: given } } })));
  const loop = async (send) => {
    const [history, tools] = [[user(words.ask_loop)], [made("weather"), made("people")]];
    for (let turns = 0; ; turns++) {
      const found = await send(history, { tools });
      if (!uses(found).length) return same([turns, text(found)], [words.cities.length, journey(words)]);
      history.push({ role: "assistant", content: found.content });
      history.push(user(uses(found).map((use) => result(use, runTool(use.name, use.input)))));
    }
  };
  return {
    chat: async () => same(text(await said(ask))),
    stream: async () => same(await client.messages.stream({ ...given, messages: ask }).finalText()),
    tools: async () => {
      const [history, tools] = [[user(words.ask_weather)], [made("weather")]];
      const found = await said(history, { tools });
      history.push({ role: "assistant", content: found.content }, user([result(uses(found)[0], "warm")]));
      same(text(await said(history, { tools })), words.warm);
    },
    structured: async () => record(await structured(words.ask_record, schema)),
    infill: cannot("its API has none"),
    errors: () => fails(() => said(ask, { model: "other" })),
    adapter: async () => same(text(await said(ask, { model: adapter })), words.formal),
    nested: async () => same(await structured(words.ask_person, person), words.person),
    "nested tool": async () => {
      const [use] = uses(await said([user(words.ask_person)], { tools: [made("save", person)] }));
      same(use.input, words.person);
    },
    loop: async () => {
      await loop(said);
      await loop(streamed);
    },
    images: async () => {
      const shown = pictures.map((data) => ({ type: "image", source: { type: "base64", media_type: "image/png", data } }));
      same(text(await said([user([...shown, { type: "text", text: words.ask_image }])])), "2 images");
    },
    reasoning: async () => {
      const more = { thinking: { type: "enabled", budget_tokens: 1024 }, max_tokens: 2000 };
      for (const send of [said, streamed]) {
        const found = await send([user(words.ask_thought)], more);
        same([found.content[0].thinking, text(found)], [words.thought, words.thought_out]);
        const history = [user(words.ask_thought), { role: "assistant", content: found.content }, ...ask];
        same(text(await send(history, more)));
      }
    },
    usage: async () => {
      const { usage } = await streamed(ask);
      same([usage.input_tokens > 0, usage.output_tokens >= words.hello.length], [true, true]);
    },
    options: async () => {
      const found = await said(ask, { stop_sequences: ["friend"] });
      same([text(found), found.stop_sequence], ["Hello there, ", "friend"]);
    },
    unicode: async () => {
      for (const send of [said, streamed]) {
        same(text(await send(repeat.slice(1), { system: "" })), words.odd_text);
        same(text(await send(empty.slice(1))));
      }
    },
  };
}

// Continue's own package: what its chat and its completions send.
async function continued() {
  const { constructLlmApi } = await load("@continuedev/openai-adapters");
  const api = (provider) => constructLlmApi({ provider, apiBase: `${url}/v1/`, apiKey: key });
  const { signal } = new AbortController();
  const chat = (messages, more = {}) =>
    api("openai").chatCompletionNonStream({ model, messages, ...more }, signal);
  const said = async (messages, more) => (await chat(messages, more)).choices[0].message;
  const streamed = (given) => api("openai").chatCompletionStream({ model, messages: ask, stream: true, ...given }, signal);
  return {
    chat: async () => same((await said(ask)).content),
    stream: async () => same(await collect(streamed({}), (part) => part.choices[0]?.delta.content)),
    tools: async () => {
      const history = [user(words.ask_weather)];
      const found = await said(history, { tools: [tool("weather")] });
      history.push(found, { role: "tool", tool_call_id: found.tool_calls[0].id, content: "warm" });
      same((await said(history, { tools: [tool("weather")] })).content, words.warm);
    },
    structured: cannot("an editor has no schemas"),
    infill: async () => {
      const given = { ...place, max_tokens: 8, stream: true };
      isText(await collect(api("mistral").fimStream(given, signal), (part) => part.choices[0]?.delta.content));
      const older = { ...place, max_tokens: 8 };
      isText((await api("openai").completionNonStream(older, signal)).choices[0].text);
    },
    errors: () => fails(() => said(ask, { model: "other" })),
    adapter: async () => same((await said(ask, { model: adapter })).content, words.formal),
    nested: cannot("an editor has no schemas"),
    "nested tool": async () => {
      const found = await said([user(words.ask_person)], { tools: [tool("save", person)] });
      same(JSON.parse(found.tool_calls[0].function.arguments), words.person);
    },
    loop: cannot("the editor runs it, not this package"),
    images: async () => {
      const shown = pictures.map((data) => ({ type: "image_url", image_url: { url: `data:image/png;base64,${data}` } }));
      same((await said([user([...shown, { type: "text", text: words.ask_image }])])).content, "2 images");
    },
    reasoning: cannot("the editor reads it, not this package"),
    usage: async () => {
      let last;
      for await (last of streamed({ stream_options: { include_usage: true } }));
      same(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens);
    },
    options: async () => same((await said(ask, { stop: ["friend"], presence_penalty: 0.5 })).content, "Hello there, "),
    unicode: async () => {
      same((await said(repeat)).content, words.odd_text);
      const given = { messages: repeat };
      same(await collect(streamed(given), (part) => part.choices[0]?.delta.content), words.odd_text);
    },
  };
}

const clients = {
  "openai (npm)": ["openai", openai],
  "ai (Vercel), chat": ["ai", () => vercel(false)],
  "ai (Vercel), responses": ["ai", () => vercel(true)],
  "ollama (npm)": ["ollama", ollama],
  "anthropic (npm)": ["@anthropic-ai/sdk", anthropic],
  "Continue": ["@continuedev/openai-adapters", continued],
};
const results = {};
for (const [name, [home, make]] of Object.entries(clients)) {
  if (word && !name.includes(word)) continue;
  results[name] = { version: version(home) };
  for (const [ability, check] of Object.entries(await make())) {
    try {
      await check();
      results[name][ability] = "";
    } catch (error) {
      results[name][ability] = error instanceof Cannot ? `cannot: ${error.message}` : String(error).slice(0, 600);
    }
  }
  console.error(name, results[name]);
}
console.log(JSON.stringify(results));
process.exit(0);

// Clients in JavaScript. Runs in a folder that has them in node_modules: node node_clients.mjs URL
// Prints one JSON object: client -> ability -> "" where it works, else the reason.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [url] = process.argv.slice(2);
const require = createRequire(pathToFileURL(process.cwd() + "/"));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const [key, model] = ["secret", "scripted"];
const [HELLO, WARM] = ["Hello there, friend.", "It is warm in Rome."];
const schema = {
  type: "object",
  properties: { name: { enum: ["ann", "bob"] }, age: { type: "integer" } },
  required: ["name", "age"],
  additionalProperties: false,
};
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const ask = [{ role: "user", content: "Say hello" }];
const same = (found, expected = HELLO) => {
  if (found !== expected) throw new Error(`got ${JSON.stringify(found)}`);
};
const record = (value) => {
  if (!["ann", "bob"].includes(value.name)) throw new Error(JSON.stringify(value));
};
const fails = async (call) => {
  try {
    await call();
  } catch (error) {
    if (String(error).includes("other")) return;
    throw error;
  }
  throw new Error("no error was raised");
};

async function openai() {
  const OpenAI = (await load("openai")).default;
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  const chat = (more = {}) => client.chat.completions.create({ model, messages: ask, ...more });
  const tools = [{ type: "function", function: { name: "weather", description: "x", parameters } }];
  return {
    chat: async () => same((await chat()).choices[0].message.content),
    stream: async () => {
      let text = "";
      for await (const part of await chat({ stream: true })) text += part.choices[0]?.delta.content ?? "";
      same(text);
    },
    tools: async () => {
      const history = [{ role: "user", content: "How is the weather in Rome?" }];
      const { message } = (await chat({ messages: history, tools })).choices[0];
      const [call] = message.tool_calls;
      history.push(message, { role: "tool", tool_call_id: call.id, content: "warm" });
      same((await chat({ messages: history, tools })).choices[0].message.content, WARM);
    },
    structured: async () => {
      const format = { type: "json_schema", json_schema: { name: "r", schema, strict: true } };
      const messages = [{ role: "user", content: "Write a record" }];
      const found = await chat({ messages, response_format: format, max_tokens: 60 });
      record(JSON.parse(found.choices[0].message.content));
    },
    infill: async () => {
      const given = { model, prompt: "x = 1\n", suffix: "\ny = x\n", max_tokens: 8 };
      const found = await client.completions.create(given);
      if (typeof found.choices[0].text !== "string") throw new Error("no text");
    },
    errors: () => fails(() => chat({ model: "other" })),
  };
}

async function vercel(responses) {
  const ai = await load("ai");
  const { createOpenAI } = await load("@ai-sdk/openai");
  const provider = createOpenAI({ baseURL: `${url}/v1`, apiKey: key });
  const make = (name) => (responses ? provider.responses(name) : provider.chat(name));
  const base = { model: make(model), maxRetries: 0 };
  const tools = {
    weather: ai.tool({ description: "x", inputSchema: ai.jsonSchema(parameters), execute: async () => "warm" }),
  };
  return {
    chat: async () => same((await ai.generateText({ ...base, prompt: "Say hello" })).text),
    stream: async () => {
      let text = "";
      for await (const part of ai.streamText({ ...base, prompt: "Say hello" }).textStream) text += part;
      same(text);
    },
    tools: async () => {
      const given = { ...base, tools, stopWhen: ai.stepCountIs(3), prompt: "How is the weather in Rome?" };
      same((await ai.generateText(given)).text, WARM);
    },
    structured: async () => {
      const given = { ...base, schema: ai.jsonSchema(schema), prompt: "Write a record", maxOutputTokens: 60 };
      record((await ai.generateObject(given)).object);
    },
    errors: () => fails(() => ai.generateText({ ...base, model: make("other"), prompt: "x" })),
  };
}

async function ollama() {
  const { Ollama } = await load("ollama");
  const client = new Ollama({ host: url, headers: { authorization: `Bearer ${key}` } });
  const tools = [{ type: "function", function: { name: "weather", description: "x", parameters } }];
  return {
    chat: async () => same((await client.chat({ model, messages: ask })).message.content),
    stream: async () => {
      let text = "";
      for await (const part of await client.chat({ model, messages: ask, stream: true })) text += part.message.content;
      same(text);
    },
    tools: async () => {
      const messages = [{ role: "user", content: "How is the weather in Rome?" }];
      const { message } = await client.chat({ model, messages, tools });
      messages.push(message, { role: "tool", content: "warm", tool_name: message.tool_calls[0].function.name });
      same((await client.chat({ model, messages, tools })).message.content, WARM);
    },
    structured: async () => {
      const messages = [{ role: "user", content: "Write a record" }];
      const found = await client.chat({ model, messages, format: schema, options: { num_predict: 60 } });
      record(JSON.parse(found.message.content));
    },
    infill: async () => {
      const given = { model, prompt: "x = 1\n", suffix: "\ny = x\n", options: { num_predict: 8 } };
      if (typeof (await client.generate(given)).response !== "string") throw new Error("no text");
    },
    errors: () => fails(() => client.chat({ model: "other", messages: ask })),
  };
}

async function anthropic() {
  const Anthropic = (await load("@anthropic-ai/sdk")).default;
  const client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  const send = (more = {}) => client.messages.create({ model, max_tokens: 200, messages: ask, ...more });
  const tools = [{ name: "weather", description: "x", input_schema: parameters }];
  return {
    chat: async () => same((await send()).content[0].text),
    stream: async () => same(await client.messages.stream({ model, max_tokens: 200, messages: ask }).finalText()),
    tools: async () => {
      const messages = [{ role: "user", content: "How is the weather in Rome?" }];
      const first = await send({ messages, tools });
      const use = first.content.find((block) => block.type === "tool_use");
      messages.push({ role: "assistant", content: first.content });
      messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "warm" }] });
      same((await send({ messages, tools })).content[0].text, WARM);
    },
    errors: () => fails(() => send({ model: "other" })),
  };
}

const clients = {
  "openai (npm)": openai,
  "ai (Vercel), chat": () => vercel(false),
  "ai (Vercel), responses": () => vercel(true),
  "ollama (npm)": ollama,
  "anthropic (npm)": anthropic,
};
const results = {};
for (const [name, make] of Object.entries(clients)) {
  results[name] = {};
  for (const [ability, check] of Object.entries(await make())) {
    try {
      await check();
      results[name][ability] = "";
    } catch (error) {
      results[name][ability] = String(error).slice(0, 300);
    }
  }
  console.error(name, results[name]);
}
console.log(JSON.stringify(results));

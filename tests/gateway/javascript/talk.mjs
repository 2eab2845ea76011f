// Talks to a service as an application in JavaScript does, and prints what it heard as JSON.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: process.argv[3], maxRetries: 0 });
const asked = [{ role: "user", content: "What is the gate code of the north barn?" }];
const heard = {};

await client.chat.completions.create({
  model: "engrain", user: "ada", messages: [{ role: "user", content: "The gate code of the north barn is 4417." }],
});
const { data: whole, response } = await client.chat.completions
  .create({ model: "engrain", user: "ada", messages: asked, n: 2 })
  .withResponse();
heard.whole = whole.choices.map((c) => c.message.content);
heard.interaction = response.headers.get("x-engrain-interaction");

heard.stream = "";
const stream = await client.chat.completions.create({
  model: "engrain", user: "ada", messages: asked, stream: true, stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  heard.stream += chunk.choices[0]?.delta?.content ?? "";
  heard.tokens = chunk.usage?.completion_tokens ?? heard.tokens;
}

const tool = { type: "function", function: { name: "open_gate", parameters: { type: "object", properties: {}, additionalProperties: false } } };
const called = await client.chat.completions.create({ model: "engrain", messages: asked, tools: [tool], tool_choice: "required" });
heard.called = called.choices[0].message.tool_calls[0].function.name;
const form = { type: "json_schema", json_schema: { name: "n", schema: { enum: [7] } } };
const formed = await client.chat.completions.create({ model: "engrain", messages: asked, response_format: form });
heard.formed = JSON.parse(formed.choices[0].message.content);

heard.response = (await client.responses.create({ model: "engrain", input: asked[0].content, user: "ada" })).output_text;
heard.events = [];
for await (const event of await client.responses.create({ model: "engrain", input: "Hello!", stream: true })) heard.events.push(event.type);
heard.models = [];
for await (const model of client.models.list()) heard.models.push(model.id);
heard.embedding = (await client.embeddings.create({ model: "any", input: "Hello!" })).data[0].embedding.length;
heard.feedback = await client.post("/feedback", { body: { interaction: heard.interaction, rating: true, user: "ada" } });

try {
  await client.chat.completions.create({ model: "engrain", messages: [] });
} catch (error) {
  heard.error = { kind: error.constructor.name, status: error.status, param: error.param };
}
try {
  await new OpenAI({ baseURL: process.argv[2], apiKey: "wrong", maxRetries: 0 }).models.list();
} catch (error) {
  heard.stranger = error.constructor.name;
}
console.log(JSON.stringify(heard));

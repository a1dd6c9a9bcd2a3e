// Asking the server: fetch, because EventSource cannot POST.

const base = new URL(".", location.href);
let key = sessionStorage.getItem("key") || "";

export function setKey(value) {
  key = value;
  sessionStorage.setItem("key", value);
}

// What the server says is wrong; status 401 asks for a key.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export async function ask(path, body, signal) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(new URL(path, base), {
    method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal,
  });
  if (response.ok) return response;
  let message = `${response.status} ${response.statusText}`;
  try {
    message = (await response.json()).error.message;
  } catch { /* not JSON: the status has to do */ }
  throw new Refused(response.status, message);
}

// The JSON of each event of a stream, up to [DONE].  Bytes come cut anywhere.
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the connection was cut");
    rest += value;
    const blocks = rest.split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (!lines.length) continue; // a comment
      const data = lines.map((line) => line.slice(5).trimStart()).join("\n");
      if (data === "[DONE]") return;
      const event = JSON.parse(data);
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}

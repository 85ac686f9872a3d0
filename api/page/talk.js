// Talking with the server: the live stream, polling where that does not work, and what is asked for.
// The token travels in a header and never in an address; EventSource can send none, so the stream is read by fetch.

const TOKEN = "engram-bridge-token";
const NAME = "engram-bridge-name";
const POLL = 2000;
const TRY_STREAM_AGAIN = 15000;

export const token = () => sessionStorage.getItem(TOKEN);
export const operator = () => sessionStorage.getItem(NAME) ?? "";

export function remember(given, name) {
  if (given) sessionStorage.setItem(TOKEN, given);
  else sessionStorage.removeItem(TOKEN);
  sessionStorage.setItem(NAME, name ?? "");
}

function headers(more = {}) {
  const known = token();
  return { ...(known ? { Authorization: `Bearer ${known}` } : {}), ...more };
}

// Answers {ok, ...} with the document of the answer; never throws.
export async function send(path, body) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", "X-Operator": encodeURIComponent(operator()) }),
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(20000),
    });
    return { ...(await answer.json()), ok: answer.ok };
  } catch (error) {
    return { ok: false, title: "The proxy did not answer", detail: String(error.message) };
  }
}

export class Refused extends Error {}

// Calls `seen(view)` for each view, `silent()` when nothing comes, `refused()` when a token is needed. `stop()` ends it.
export class Feed {
  constructor({ seen, silent, refused }) {
    this.seen = seen;
    this.silent = silent;
    this.refused = refused;
    this.ending = new AbortController();
    this.run();
  }

  stop() {
    this.ending.abort();
  }

  async run() {
    let streams = 0;
    while (!this.ending.signal.aborted) {
      try {
        if (Date.now() >= streams) await this.stream();
        else await this.poll();
      } catch (error) {
        if (this.ending.signal.aborted) return;
        if (error instanceof Refused) {
          this.refused();
          return;
        }
        this.silent();
        if (Date.now() >= streams) streams = Date.now() + TRY_STREAM_AGAIN;
        else await pause(POLL);
      }
    }
  }

  async ask(path) {
    const answer = await fetch(path, { headers: headers(), cache: "no-store", signal: this.ending.signal });
    if (answer.status === 401 || answer.status === 403) throw new Refused();
    if (!answer.ok) throw new Error(`the proxy answered ${answer.status}`);
    return answer;
  }

  async stream() {
    const answer = await this.ask("ops/events");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new Error("the stream ended");
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) this.take(block);
    }
  }

  take(block) {
    const data = block.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
    if (data.length) this.seen(JSON.parse(data.join("\n")));
  }

  async poll() {
    this.seen(await (await this.ask("ops/figures")).json());
    await pause(POLL);
  }
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What the page hears from its daemon, and what it asks of it. */

const RETRY_MS = 1000;
const TOKEN = "agentd-token";

/** The token of `#token=…`, kept for this tab and taken out of the address; "" without one. */
function readToken() {
  const words = new URLSearchParams(location.hash.slice(1));
  const token = words.get("token");
  if (token !== null) {
    sessionStorage.setItem(TOKEN, token);
    words.delete("token");
    history.replaceState(null, "", `${location.pathname}#${words}`);
  }
  return sessionStorage.getItem(TOKEN) ?? "";
}

/** Why an operation was refused, in words. */
export class Refused extends Error {}

/**
 * The line to the daemon. `heard(kind, facts)` gets each event; `became(state)` is told "live",
 * "gone", "locked" (a token is wanted) or "full" (too many pages look).
 */
export class Link {
  #token = readToken();
  #stop = new AbortController();
  #heard;
  #became;

  constructor(heard, became) {
    this.#heard = heard;
    this.#became = became;
  }

  get #headers() {
    return this.#token ? { authorization: `Bearer ${this.#token}` } : {};
  }

  /** Use another token, for this tab. */
  setToken(token) {
    this.#token = token;
    sessionStorage.setItem(TOKEN, token);
  }

  /** Hear of the daemon, and closely of one agent (null: of none), from now on. */
  follow(agent) {
    this.#stop.abort();
    this.#stop = new AbortController();
    this.#listen(agent, this.#stop.signal);
  }

  async #listen(agent, signal) {
    const query = agent === null ? "" : `?agent=${encodeURIComponent(agent)}`;
    while (!signal.aborted) {
      try {
        const reply = await fetch(`/events${query}`, { headers: this.#headers, signal });
        if (reply.status === 401) return this.#became("locked");
        if (!reply.ok) throw new Error(reply.status === 503 ? "full" : "gone");
        this.#became("live");
        await this.#read(reply.body.pipeThrough(new TextDecoderStream()).getReader());
      } catch (fault) {
        if (signal.aborted) return;
        this.#became(fault.message === "full" ? "full" : "gone");
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  async #read(reader) {
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        const [, kind, text] = part.match(/^event: (\w+)\ndata: (.*)$/s);
        this.#heard(kind, JSON.parse(text));
      }
    }
  }

  /** Do one operation, `{type: "save", agent: …}`; its reply. Throws Refused. */
  async operate(operation) {
    const headers = { ...this.#headers, "content-type": "application/json" };
    let reply, text;
    try {
      reply = await fetch("/operate", { method: "POST", headers, body: JSON.stringify(operation) });
      text = await reply.text();
    } catch {
      throw new Refused("the daemon does not answer");
    }
    if (reply.ok) return JSON.parse(text);
    const json = reply.headers.get("content-type")?.startsWith("application/json");
    throw new Refused(json ? JSON.parse(text).message : text.trim());
  }
}

/** agentd for Node: agentd.mjs over TCP, TLS and unix sockets, and over WebSocket. */

import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { Agent, ProtocolError } from "./agentd.mjs";

export * from "./agentd.mjs";

const PORT = 7331;
const MOST_HEAD = 8_192; // bytes of an HTTP answer
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455, section 1.3
const [BINARY, CLOSE, PING, PONG] = [2, 8, 9, 10]; // opcodes of RFC 6455

/** Frames on a plain socket: a length of four bytes, then the body. */
class Frames {
  first() { return null; }

  last() { return Buffer.alloc(0); }

  wrap(body) {
    const frame = Buffer.alloc(4 + body.length);
    frame.writeUInt32LE(body.length);
    frame.set(body, 4);
    return frame;
  }

  /** Return what the first whole frame of `data` says, and its `size`; null for none yet. */
  cut(data) {
    if (data.length < 4) return null;
    if (data.toString("latin1", 0, 4) === "HTTP") throw new ProtocolError("that is an HTTP port");
    const size = 4 + data.readUInt32LE();
    return data.length < size ? null : { size, body: data.subarray(4, size) };
  }
}

/** The same as messages of a WebSocket (RFC 6455). */
class Messages {
  #key = randomBytes(16).toString("base64"); #open = false; #parts = [];

  first({ host, pathname, search }) {
    return `GET ${pathname}${search} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n`
      + "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      + `Sec-WebSocket-Key: ${this.#key}\r\n\r\n`;
  }

  last() { return this.wrap([0x03, 0xe8], CLOSE); } // 1000: done

  wrap(body, opcode = BINARY) {
    const n = body.length;
    const [short, size] = n < 126 ? [n, 2] : n < 65_536 ? [126, 4] : [127, 10];
    const frame = Buffer.alloc(size + 4 + n);
    frame[0] = 0x80 | opcode;
    frame[1] = 0x80 | short;
    if (size === 4) frame.writeUInt16BE(n, 2);
    if (size === 10) frame.writeBigUInt64BE(BigInt(n), 2);
    const mask = randomBytes(4);
    frame.set(mask, size);
    for (let i = 0; i < n; i += 1) frame[size + 4 + i] = body[i] ^ mask[i & 3];
    return frame;
  }

  cut(data) {
    if (!this.#open) return this.#answer(data);
    if (data.length < 2) return null;
    const [opcode, short] = [data[0] & 15, data[1] & 127];
    const text = opcode === 1 || (opcode > BINARY && opcode < CLOSE) || opcode > PONG;
    if (text || data[0] & 0x70 || data[1] & 0x80) throw new ProtocolError("no binary message");
    const at = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (data.length < at) return null;
    const long = at === 4 ? data.readUInt16BE(2) : at === 10 ? data.readBigUInt64BE(2) : short;
    const size = at + Number(long);
    if (data.length < size) return null;
    const payload = data.subarray(at, size);
    if (opcode === CLOSE) return { size, reply: this.wrap(payload, CLOSE), end: true };
    if (opcode === PING) return { size, reply: this.wrap(payload, PONG) };
    if (opcode === PONG) return { size };
    this.#parts.push(payload);
    return { size, body: data[0] & 0x80 ? Buffer.concat(this.#parts.splice(0)) : null };
  }

  #answer(data) {
    const end = data.indexOf("\r\n\r\n");
    if (end < 0 && data.length < MOST_HEAD) return null;
    const head = data.toString("latin1", 0, Math.max(end, 0));
    const accept = createHash("sha1").update(this.#key + GUID).digest("base64");
    this.#open = head.startsWith("HTTP/1.1 101 ") && head.includes(accept);
    if (this.#open) return { size: end + 4, opened: true };
    throw new ProtocolError(`no WebSocket there: ${head.split("\r\n")[0] || "no HTTP"}`);
  }
}

/** A connection over a socket of Node; `options` are those of tls.connect. */
function dialSocket(address, on, options) {
  const url = new URL(address);
  const [web, secure] = [/^wss?:$/.test(url.protocol), /^(wss|tls):$/.test(url.protocol)];
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || (web ? (secure ? 443 : 80) : PORT);
  const path = decodeURIComponent(url.pathname);
  const place = url.protocol === "unix:" ? { path } : { host, port };
  const servername = net.isIP(host) ? undefined : host;
  const socket = secure ? tls.connect({ servername, ...place, ...options }) : net.connect(place);
  const codec = web ? new Messages() : new Frames();
  let rest = /** @type {Buffer} */ (Buffer.alloc(0));
  const next = () => {
    try {
      return codec.cut(rest);
    } catch (fault) {
      on.end(fault.message, fault);
      socket.destroy();
      return null;
    }
  };
  socket.setNoDelay(true);
  socket.on(secure ? "secureConnect" : "connect", () => {
    if (web) socket.write(codec.first(url));
    else on.open();
  });
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    on.heard();
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    for (let found = next(); found; found = next()) {
      rest = rest.subarray(found.size);
      if (found.opened) on.open();
      if (found.reply) socket.write(found.reply);
      if (found.body) on.body(found.body);
      if (found.end) socket.end();
    }
  });
  socket.on("error", (fault) => on.end(fault.message));
  socket.on("close", () => on.end("the connection was closed"));
  return {
    send: (body) => { if (socket.writable) socket.write(codec.wrap(body)); },
    end: () => (socket.connecting ? socket.destroy() : socket.end(codec.last())),
  };
}

/** Connect a game: "host:port", or a URL that begins with tcp, tls, unix, ws or wss. */
export function connect(address, options) {
  const url = /^(\w+:\/\/|unix:)/.test(address) ? address : `tcp://${address}`;
  return new Agent(url, options, (to, on) => dialSocket(to, on, options.tls)).opened();
}

/** agentd for Node: agentd.mjs over TCP, TLS and unix sockets, and over WebSocket. */

import { createHash, randomBytes } from "node:crypto";
import net from "node:net";
import tls from "node:tls";
import { Agent, ProtocolError } from "./agentd.mjs";

export * from "./agentd.mjs";

const PORT = 7331;
const MOST_HEAD = 8_192; // bytes of an HTTP answer
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; // RFC 6455, 1.3

/** Bytes of a socket cut into bodies of frames: a length of 4 bytes, then the body. */
class Frames {
  begin() { return null; }

  wrap(body) {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(body.length);
    return Buffer.concat([length, body]);
  }

  /** Return the first whole frame of `data` and its bytes, null where it is not whole. */
  cut(data) {
    if (data.length < 4) return null;
    const size = 4 + data.readUInt32LE();
    if (data.toString("latin1", 0, 4) === "HTTP") throw new ProtocolError("that is an HTTP port");
    return data.length < size ? null : { size, body: data.subarray(4, size) };
  }

  last() { return null; }
}

/** The same as messages of a WebSocket (RFC 6455). */
class Messages {
  #key = randomBytes(16).toString("base64"); #open = false; #parts = [];

  constructor(url) { this.url = url; }

  begin() {
    const { host, pathname } = this.url;
    return `GET ${pathname || "/"} HTTP/1.1\r\nHost: ${host}\r\nUpgrade: websocket\r\n`
      + `Connection: Upgrade\r\nSec-WebSocket-Key: ${this.#key}\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  }

  wrap(body, code = 2) {
    const n = body.length;
    const size = n < 126 ? 2 : n < 65_536 ? 4 : 10;
    const frame = Buffer.alloc(size + 4 + n);
    const mask = randomBytes(4);
    frame[0] = 0x80 | code;
    frame[1] = 0x80 | (n < 126 ? n : n < 65_536 ? 126 : 127);
    if (size === 4) frame.writeUInt16BE(n, 2);
    else if (size === 10) frame.writeBigUInt64BE(BigInt(n), 2);
    frame.set(mask, size);
    for (let i = 0; i < n; i += 1) frame[size + 4 + i] = body[i] ^ mask[i & 3];
    return frame;
  }

  cut(data) {
    if (!this.#open) return this.#upgraded(data);
    if (data.length < 2) return null;
    const [code, short] = [data[0] & 15, data[1] & 127];
    if (data[0] & 0x70 || data[1] & 0x80) throw new ProtocolError("no WebSocket frame of a server");
    const head = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (data.length < head) return null;
    const n = head === 2 ? short : head === 4 ? data.readUInt16BE(2) : Number(data.readBigUInt64BE(2));
    if (data.length < head + n) return null;
    const found = { size: head + n, body: null, reply: null, end: false };
    const payload = data.subarray(head, head + n);
    if (code === 8) Object.assign(found, { reply: this.wrap(payload, 8), end: true });
    else if (code === 9) found.reply = this.wrap(payload, 10);
    else if (code === 1 || (code > 2 && code < 8)) throw new ProtocolError("no binary message");
    else if (code < 8) {
      this.#parts.push(payload);
      if (data[0] & 0x80) found.body = Buffer.concat(this.#parts.splice(0));
    }
    return found;
  }

  #upgraded(data) {
    const end = data.indexOf("\r\n\r\n");
    if (end < 0 && data.length < MOST_HEAD) return null;
    const head = data.toString("latin1", 0, Math.max(end, 0));
    const accept = createHash("sha1").update(this.#key + GUID).digest("base64");
    if (!/^HTTP\/1\.1 101 /.test(head) || !head.includes(accept)) {
      throw new ProtocolError(`no WebSocket there: ${head.split("\r\n")[0] || "no HTTP"}`);
    }
    this.#open = true;
    return { size: end + 4, opened: true };
  }

  last() { return this.wrap(Buffer.from([0x03, 0xe8]), 8); } // 1000
}

/** A connection over a socket of Node; `options` are those of tls.connect. */
function dialSocket(address, on, options) {
  const url = new URL(address);
  const [web, secure] = [/^wss?:$/.test(url.protocol), /^(wss|tls):$/.test(url.protocol)];
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || (web ? (secure ? 443 : 80) : PORT);
  const place = url.protocol === "unix:" ? { path: url.pathname } : { host, port };
  const servername = net.isIP(host) ? undefined : host;
  const socket = secure ? tls.connect({ servername, ...place, ...options }) : net.connect(place);
  const codec = web ? new Messages(url) : new Frames();
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on(secure ? "secureConnect" : "connect", () => {
    if (web) socket.write(codec.begin());
    else on.open();
  });
  socket.on("data", (chunk) => {
    on.heard();
    rest = rest.length ? Buffer.concat([rest, chunk]) : chunk;
    try {
      for (let found = codec.cut(rest); found; found = codec.cut(rest)) {
        rest = rest.subarray(found.size);
        if (found.opened) on.open();
        if (found.reply) socket.write(found.reply);
        if (found.body) on.body(found.body);
        if (found.end) socket.end();
      }
    } catch (fault) {
      on.end(fault.message, fault);
      socket.destroy();
    }
  });
  socket.on("error", (fault) => on.end(fault.message));
  socket.on("close", () => on.end("the connection was closed"));
  return {
    send: (body) => { if (socket.writable) socket.write(codec.wrap(body)); },
    end: () => {
      if (socket.connecting) socket.destroy();
      else if (socket.writable) socket.end(codec.last());
    },
  };
}

/** Connect a game: "host:port", or a URL that begins with tcp, tls, unix, ws or wss. */
export function connect(address, options) {
  const url = address.includes("://") ? address : `tcp://${address}`;
  return new Agent(url, options, (to, on) => dialSocket(to, on, options.tls)).opened();
}

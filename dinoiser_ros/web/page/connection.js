// SPDX-License-Identifier: Apache-2.0
// The websocket: events for what comes in, promises for what is asked.

const RETRY = [500, 1000, 2000, 4000]; // milliseconds
const decoder = new TextDecoder();

/** Events: "state", "diagnostics", "problem" (detail: the message), "picture" and "lost". */
export class Connection extends EventTarget {
  constructor() {
    super();
    this.waiting = new Map();
    this.number = 0;
    this.failures = 0;
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/socket`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (event) => this.receive(event.data);
    this.socket.onopen = () => {
      this.failures = 0;
      this.emit("opened");
    };
    this.socket.onclose = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error("The connection was lost."));
      this.waiting.clear();
      this.emit("lost", event.reason);
      setTimeout(() => this.open(), RETRY[Math.min(this.failures++, RETRY.length - 1)]);
    };
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  receive(data) {
    let message;
    if (typeof data === "string") {
      message = JSON.parse(data);
    } else {
      const length = new DataView(data).getUint32(0, true);
      message = JSON.parse(decoder.decode(new Uint8Array(data, 4, length)));
      message.content = data.slice(4 + length);
    }
    const asked = this.waiting.get(message.answer);
    if (asked) {
      this.waiting.delete(message.answer);
      if (message.error) asked.reject(new Error(message.error));
      else asked.resolve(message);
    } else if (message.kind) {
      this.emit(message.kind, message);
    }
  }

  /** Send without expecting an answer. */
  tell(what, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ do: what, ...fields }));
  }

  /** Send and get the answer; an Error has the sentence of a refusal. */
  ask(what, fields = {}) {
    return new Promise((resolve, reject) => {
      if (this.socket.readyState !== WebSocket.OPEN) {
        reject(new Error("There is no connection."));
        return;
      }
      const id = ++this.number;
      this.waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ id, do: what, ...fields }));
    });
  }
}

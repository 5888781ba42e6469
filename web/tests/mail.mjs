// A mail server that takes whatever it is sent (RFC 5321), on this host.
// Never knows: who sends it.
import { createServer } from "node:net";

export class MailServer {
  /** Answers when it listens. */
  static async start() {
    const server = new MailServer();
    await new Promise((resolve) => server.listener.listen(0, "127.0.0.1", resolve));
    return server;
  }

  constructor() {
    this.mails = [];
    this.listener = createServer((socket) => this.talk(socket));
  }

  get port() {
    return this.listener.address().port;
  }

  talk(socket) {
    const say = (line) => socket.write(`${line}\r\n`);
    let [lines, mail] = ["", null];
    socket.on("error", () => socket.destroy());
    socket.on("data", (bytes) => {
      lines += bytes;
      for (let end = lines.indexOf("\r\n"); end >= 0; end = lines.indexOf("\r\n")) {
        const line = lines.slice(0, end);
        lines = lines.slice(end + 2);
        if (mail !== null && line !== ".") {
          mail += `${line}\n`;
        } else if (mail !== null) {
          this.mails.push(mail);
          mail = null;
          say("250 taken");
        } else if (/^DATA/i.test(line)) {
          mail = "";
          say("354 go on");
        } else if (/^QUIT/i.test(line)) {
          say("221 bye");
          socket.end();
        } else say("250 well");
      }
    });
    say("220 here");
  }

  end() {
    this.listener.close();
  }
}

// A real server and a real agent, in a folder that is gone afterwards; its clients trust its authority and nothing else.
// Never knows: browsers.
import { spawn, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const PASSWORD = "correct horse battery";
const PATIENCE_MS = 60_000;

/** Which program is tested: what cargo built, unless somebody says. */
export const PROGRAM = process.env.BACKSTAY_PROGRAM ?? new URL("../../target/debug/backstay", import.meta.url).pathname;

export class World {
  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), "backstay-console-"));
    this.children = [];
    this.ends = [];
  }

  path(name) {
    return join(this.dir, name);
  }

  /** Starts a server; answers when it says where it is. */
  async startServer() {
    const args = ["server", "--listen", "127.0.0.1:0", "--name", "localhost", "--json", "--data", this.path("data")];
    mkdirSync(this.path("restores"));
    args.push("--restores", this.path("restores"));
    const child = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "inherit"] });
    this.children.push(child);
    let said = "";
    const told = await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the server does not say where it is: ${said}`)), PATIENCE_MS);
      child.on("exit", (code) => reject(new Error(`the server ended: ${code}`)));
      child.stdout.on("data", (bytes) => {
        said += bytes;
        try {
          resolve(JSON.parse(said));
          clearTimeout(timer);
        } catch {
          // There is more to come.
        }
      });
    });
    this.url = `https://localhost:${told.address.split(":").at(-1)}`;
    this.setupCode = told.setup_code;
    this.authority = readFileSync(this.path("data/ca/certificate.pem"));
  }

  /** An ext4 image with these files; a value is a text, or bytes. */
  makeImage(name, files) {
    const [image, folder] = [this.path(name), this.path(`${name}.files`)];
    for (const [path, content] of Object.entries(files)) {
      const full = join(folder, path);
      mkdirSync(join(full, ".."), { recursive: true });
      writeFileSync(full, content);
    }
    execFileSync("mkfs.ext4", ["-q", "-F", "-L", "data", "-d", folder, image, "24M"], { env: withSbin() });
    return image;
  }

  /** Writes a file into an image as it is; one that is there is replaced. */
  putInto(image, path, content) {
    const file = this.path("put");
    writeFileSync(file, content);
    const folder = path.split("/").slice(0, -1).join("/");
    const script = this.path("script");
    writeFileSync(script, `cd /${folder}\nrm ${path.split("/").at(-1)}\nwrite ${file} ${path.split("/").at(-1)}\n`);
    execFileSync("debugfs", ["-w", "-f", script, image], { stdio: "ignore", env: withSbin() });
  }

  /** What a file in an image holds. */
  readFrom(image, path) {
    return String(execFileSync("debugfs", ["-R", `cat ${path}`, image], { stdio: ["ignore", "pipe", "ignore"], env: withSbin() }));
  }

  /** The files in an archive, by their names. */
  unpack(archive) {
    const folder = mkdtempSync(this.path("unpacked-"));
    execFileSync("tar", ["--extract", "--file", archive, "--directory", folder]);
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return Object.fromEntries(files.map((entry) => [entry.name, readFileSync(join(entry.parentPath ?? entry.path, entry.name), "utf8")]));
  }

  /** Makes a machine known. */
  enroll(machine, code) {
    this.run(["enroll", this.url, code, "--dir", this.path(`agent-${machine}`)]);
  }

  /** Makes one point. */
  protect(machine, image) {
    this.run(["agent", image, "--dir", this.path(`agent-${machine}`), "--once"]);
  }

  /** Has the agent of a machine follow a mounted file system, a point each second, until `end` is called. */
  follow(machine, name) {
    const [image, folder] = [this.path(name), this.path(`${name}.mounted`)];
    mkdirSync(folder);
    execFileSync("truncate", ["--size", "64M", image]);
    execFileSync("mkfs.ext4", ["-q", "-F", image], { env: withSbin() });
    const device = String(execFileSync("losetup", ["--find", "--show", image], { env: withSbin() })).trim();
    const undo = [() => execFileSync("losetup", ["--detach", device], { env: withSbin() })];
    const end = () => {
      while (undo.length > 0) undo.pop()();
    };
    this.ends.push(end);
    execFileSync("mount", [device, folder], { env: withSbin() });
    undo.push(() => execFileSync("umount", [folder], { env: withSbin() }));
    const args = ["agent", device, "--dir", this.path(`agent-${machine}`)];
    undo.push(() => this.run([...args, "--unfollow"]));
    const agent = spawn(PROGRAM, [...args, "--every", "1s"], { stdio: ["ignore", "ignore", "inherit"] });
    // Killed, so that it is gone when this returns: its marks are let go next.
    undo.push(() => execFileSync("sh", ["-c", `kill -KILL ${agent.pid}; while kill -0 ${agent.pid} 2>/dev/null && ! grep -q 'State:.Z' /proc/${agent.pid}/status; do sleep 0.05; done`]));
    return { end };
  }

  run(args) {
    execFileSync(PROGRAM, args, { stdio: ["ignore", "ignore", "inherit"] });
  }

  async end() {
    for (const end of this.ends) end();
    for (const child of this.children) {
      child.removeAllListeners("exit");
      const gone = new Promise((resolve) => child.once("exit", resolve));
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await gone;
      }
    }
    if (existsSync(this.dir)) rmSync(this.dir, { recursive: true });
  }

  /** Somebody at the API, logged in. */
  async somebody(name) {
    const client = new Client(this);
    const { csrf } = await client.post("login", { name, password: PASSWORD });
    client.csrf = csrf;
    return client;
  }

  nobody() {
    return new Client(this);
  }
}

class Client {
  constructor(world) {
    this.world = world;
    this.cookie = null;
    this.csrf = null;
  }

  get(path) {
    return this.ask("GET", path, null);
  }

  post(path, body) {
    return this.ask("POST", path, body);
  }

  ask(method, path, body) {
    const headers = { "content-type": "application/json" };
    if (this.cookie !== null) headers.cookie = this.cookie;
    if (this.csrf !== null) headers["x-backstay-csrf"] = this.csrf;
    return new Promise((resolve, reject) => {
      const sent = request(`${this.world.url}/api/v1/${path}`, { method, headers, ca: this.world.authority, agent: false }, (answer) => {
        let text = "";
        answer.on("data", (bytes) => (text += bytes));
        answer.on("end", () => {
          if (answer.statusCode >= 300) return reject(new Error(`${method} ${path}: ${answer.statusCode} ${text}`));
          const cookie = answer.headers["set-cookie"]?.[0];
          if (cookie !== undefined) this.cookie = cookie.split(";")[0];
          resolve(text === "" ? null : JSON.parse(text));
        });
      });
      sent.on("error", reject);
      sent.end(body === null ? undefined : JSON.stringify(body));
    });
  }
}

function withSbin() {
  return { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
}

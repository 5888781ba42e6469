// How fast the console is with 1,000 machines and 10,000,000 points: the built files in Chromium, with a fake of the API behind them that
// answers as the server does, as large and after a while. So the console is measured, not the server. Prints JSON.
import { readFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { launch } from "./browser.mjs";

const DIST = new URL("../dist/console/", import.meta.url).pathname;
const KINDS = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const MACHINES = 1000;
const POINTS = 10_000_000;
/** What an answer takes: what the server was measured to take for a page of points, and more. */
const ANSWER_MS = 50;
const ROUNDS = 5;
const DRAG_MS = 3000;

const now = Date.now();
/** One point a second. */
const oldest = now - POINTS * 1000;

/** Seconds since the newest point: of those that are late, too many. */
const age = (at) => (at < 12 ? 300 + at * 437 : at % 55);

const machines = Array.from({ length: MACHINES }, (_, at) => ({
  name: `machine-${String(at).padStart(4, "0")}`,
  vault: "main",
  newest: new Date(now - age(at) * 1000).toISOString(),
  newest_point: POINTS,
  age_seconds: age(at),
  promise_seconds: 60,
  disk_bytes: (1 + (at % 40)) * 25_000_000_000,
  trouble: at < 12 ? ["late"] : [],
  suspended: null,
  gap: null,
  enrolled: true,
  connected: at >= 12,
  created: new Date(oldest).toISOString(),
}));

function point(number) {
  const time = new Date(oldest + number * 1000).toISOString();
  const disks = [{ disk: "sda", bytes: 500_000_000_000, unreadable_pages: 0, excluded_pages: 0 }];
  return { point: number, time, committed: time, consistent: true, note: "", read_bytes: 900_000, changed_pages: 200, changed_bytes: 819_200, stored_bytes: 300_000, frozen_ms: 4.5, kept: { until: time, as: "all" }, disks };
}

/** The number of the last point before a moment. */
const upTo = (at) => Math.max(0, Math.min(POINTS, Math.floor((at - oldest) / 1000)));

function density(query) {
  const from = query.has("from") ? Date.parse(query.get("from")) : oldest;
  const to = query.has("to") ? Date.parse(query.get("to")) : now;
  const columns = Number(query.get("columns") ?? 256);
  const points = Array.from({ length: columns }, (_, at) => {
    const [begin, end] = [from + ((to - from) * at) / columns, from + ((to - from) * (at + 1)) / columns];
    return upTo(end) - upTo(begin);
  });
  const times = (by) => points.map((count, at) => Math.round(count * by * (1 + Math.sin(at / 9))));
  const pages = times(200);
  const figures = { points, changed_pages: pages, changed_bytes: times(819_200), read_bytes: times(900_000), stored_bytes: times(300_000), frozen_ms: points.map((count, at) => (count > 0 ? 4 + (at % 7) : 0)) };
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString(), ...figures };
}

/** One of an hour is left. */
function retention(query) {
  const { from, to, points } = density(query);
  const keep = { all: 172_800, minutely: 0, hourly: 31_536_000, daily: 0, monthly: 0, yearly: 0 };
  return { keep, next: to, from, to, at: to, left: points.map((count) => Math.ceil(count / 3600)) };
}

function page(query) {
  const last = query.has("cursor") ? Number(query.get("cursor")) : query.has("to") ? upTo(Date.parse(query.get("to"))) : POINTS;
  const first = query.has("from") ? upTo(Date.parse(query.get("from"))) : 0;
  const most = Math.min(Number(query.get("limit") ?? 100), last - first);
  const points = Array.from({ length: Math.max(0, most) }, (_, at) => point(last - at));
  return { points, next: last - most > first ? String(last - most) : null };
}

function answer(path, query) {
  if (path === "me") return { name: "olga", grants: [{ role: "operator", scope: "all" }], csrf: "word", must_change_password: false };
  if (path === "machines") return machines;
  if (/^machines\/[^/]+$/.test(path)) return machines[500];
  if (path.endsWith("/gaps")) return [];
  if (path.endsWith("/density")) return density(query);
  if (path.endsWith("/retention")) return retention(query);
  if (path.endsWith("/points")) return page(query);
  if (path === "alerts" || path === "jobs") return [];
  return null;
}

function serve() {
  return createServer((request, response) => {
    const asked = new URL(request.url, "http://localhost");
    response.setHeader("content-security-policy", "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'");
    if (asked.pathname === "/api/v1/events") {
      response.writeHead(200, { "content-type": "text/event-stream" }).write(": here\n\n");
    } else if (asked.pathname.startsWith("/api/v1/")) {
      const found = answer(asked.pathname.slice("/api/v1/".length), asked.searchParams);
      setTimeout(() => response.writeHead(found === null ? 404 : 200, { "content-type": "application/json" }).end(JSON.stringify(found)), ANSWER_MS);
    } else {
      const file = join(DIST, asked.pathname);
      const sent = extname(asked.pathname) !== "" && existsSync(file) ? file : join(DIST, "index.html");
      response.writeHead(200, { "content-type": KINDS[extname(sent)] ?? "application/octet-stream" }).end(readFileSync(sent));
    }
  });
}

/** From the beginning of the navigation to the frame in which the machines with trouble are there to be read. */
async function paint(browser, base) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const tab = await context.newPage();
  await tab.addInitScript(() => {
    const look = () => {
      if (document.querySelectorAll(".machines tbody tr").length < 12) return requestAnimationFrame(look);
      requestAnimationFrame(() => setTimeout(() => (globalThis.painted = performance.now())));
    };
    requestAnimationFrame(look);
  });
  await tab.goto(base);
  await tab.waitForFunction(() => globalThis.painted !== undefined);
  const took = await tab.evaluate(() => globalThis.painted);
  await tab.waitForFunction((count) => document.querySelectorAll(".machines tbody tr").length === count, MACHINES);
  const all = await tab.evaluate(() => performance.now());
  await context.close();
  return { took, all };
}

/** Frames while the timeline is dragged to and fro, at three widths: all there is, a day, a minute. */
async function drag(browser, base) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  const tab = await context.newPage();
  await tab.goto(`${base}/machines/machine-0500`);
  const slider = tab.getByRole("slider", { name: "Moment on the timeline" });
  const box = await slider.boundingBox();
  const found = [];
  for (const nearer of [1, 6, 10]) {
    await tab.mouse.move(box.x + box.width / 2, box.y + 60);
    for (let turn = 0; turn < nearer; turn += 1) await tab.mouse.wheel(0, -250);
    await tab.waitForTimeout(600);
    await tab.evaluate(() => {
      globalThis.frames = [];
      const frame = (at) => {
        globalThis.frames.push(at);
        if (globalThis.frames !== null) globalThis.frame = requestAnimationFrame(frame);
      };
      globalThis.frame = requestAnimationFrame(frame);
    });
    await tab.mouse.down();
    const begin = Date.now();
    for (let step = 0; Date.now() - begin < DRAG_MS; step += 1) {
      await tab.mouse.move(box.x + box.width / 2 + Math.sin(step / 25) * box.width * 0.45, box.y + 60);
    }
    await tab.mouse.up();
    const frames = await tab.evaluate(() => {
      cancelAnimationFrame(globalThis.frame);
      return globalThis.frames;
    });
    const gaps = frames.slice(1).map((at, index) => at - frames[index]);
    found.push({ fps: (gaps.length * 1000) / (frames[frames.length - 1] - frames[0]), worst: Math.max(...gaps) });
  }
  await context.close();
  return found;
}

const server = serve();
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const base = `http://127.0.0.1:${server.address().port}`;
const browser = await launch();
try {
  const paints = [];
  for (let round = 0; round < ROUNDS; round += 1) paints.push(await paint(browser, base));
  const middle = paints.map((one) => one.took).sort((a, b) => a - b)[Math.floor(ROUNDS / 2)];
  const drags = await drag(browser, base);
  const told = {
    paint_ms: middle,
    slowest_paint_ms: Math.max(...paints.map((one) => one.took)),
    all_rows_ms: Math.max(...paints.map((one) => one.all)),
    fps: Math.min(...drags.map((one) => one.fps)),
    worst_frame_ms: Math.max(...drags.map((one) => one.worst)),
    answer_ms: ANSWER_MS,
  };
  console.log(JSON.stringify(told));
} finally {
  await browser.close();
  server.closeAllConnections();
  server.close();
}

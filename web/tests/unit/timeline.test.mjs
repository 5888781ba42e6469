// The pure parts of the timeline.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

let vite;
let view;
let ticks;
let columns;

before(async () => {
  vite = await createServer({ root: new URL("../..", import.meta.url).pathname, server: { middlewareMode: true, ws: false }, logLevel: "error" });
  const load = (name) => vite.ssrLoadModule(`/src/timeline/${name}.ts`);
  [view, ticks, columns] = await Promise.all(["view", "ticks", "columns"].map(load));
});

after(() => vite.close());

const BOUNDS = { from: 0, to: 1_000_000 };

test("what is under the pointer stays there", () => {
  const before = { from: 100_000, to: 200_000 };
  const nearer = view.zoomed(before, 125_000, 0.5, BOUNDS);
  assert.deepEqual(nearer, { from: 112_500, to: 162_500 });
  assert.equal(view.xOf(125_000, nearer, 400), view.xOf(125_000, before, 400));
});

test("nobody gets beyond what there is, or too near", () => {
  const all = view.whole(BOUNDS);
  assert.deepEqual(view.zoomed(all, 5, 100, BOUNDS), all);
  assert.deepEqual(view.moved({ from: 0, to: 100_000 }, -50, BOUNDS), { from: all.from, to: all.from + 100_000 });
  assert.equal(view.span(view.zoomed(all, 500_000, 1e-9, BOUNDS)), view.NARROWEST);
});

test("a moment beyond the edge is moved inside", () => {
  const shown = view.showing({ from: 0, to: 100_000 }, 400_000, BOUNDS);
  assert.ok(shown.from < 400_000 && 400_000 < shown.to);
  assert.deepEqual(view.showing(shown, 400_000, BOUNDS), shown);
});

test("ticks are few, in order, and inside", () => {
  for (let wide = 2000; wide < 4e12; wide *= 3) {
    const at = Date.UTC(2026, 2, 29);
    const found = ticks.ticks({ from: at - wide / 2, to: at + wide / 2 }, 12);
    assert.ok(found.length <= 40 && (found.length >= 1 || wide > 1e12), `${wide}: ${found.length}`);
    found.reduce((before, tick) => (assert.ok(tick.at > before, `${wide}`), tick.at), Number.NEGATIVE_INFINITY);
  }
});

/** A server whose points lie one second apart: in columns of 2^n ms there are 2^n / 1000. */
function asked(from, to, count) {
  const wide = (to - from) / count;
  const values = Array.from({ length: count }, (_, at) => Math.floor((from + (at + 1) * wide) / 1000) - Math.floor((from + at * wide) / 1000));
  return { points: values, changed: values, stored: values, read: values, frozen: values };
}

const settle = () => new Promise((resolve) => setTimeout(resolve, 0));

test("what is drawn is what there is, from a bounded number of requests", async () => {
  let requests = 0;
  const kept = new columns.Columns(async (from, to, count) => {
    requests += 1;
    return asked(from, to, count);
  }, () => undefined);
  const wide = { from: 0, to: 10_000_000_000 };
  for (let turn = 0; turn < 20; turn += 1) {
    kept.pieces(wide, 1000);
    await settle();
  }
  const pieces = kept.pieces(wide, 1000);
  assert.ok(Math.abs(columns.summed(pieces, wide, "points") - 10_000_000) < 10_000_000 / 200);
  assert.ok(requests <= 4, `${requests}`);
  const before = requests;
  kept.pieces(wide, 1000);
  assert.equal(requests, before, "what is there is not asked for again");
  const nearer = { from: 4_000_000_000, to: 4_000_100_000 };
  assert.ok(kept.pieces(nearer, 1000).length > 0, "something coarser stands in for what is awaited");
  await settle();
  kept.touched(4_000_050_000);
  kept.pieces(nearer, 1000);
  await settle();
  assert.ok(requests > before + 1, "what has changed is asked for again");
});

test("a request that fails is not made again at once", async () => {
  let requests = 0;
  const kept = new columns.Columns(async () => {
    requests += 1;
    throw new Error("no");
  }, () => undefined);
  for (let turn = 0; turn < 10; turn += 1) {
    kept.pieces({ from: 0, to: 1000 }, 100);
    await settle();
  }
  assert.ok(requests <= 2, `${requests}`);
});

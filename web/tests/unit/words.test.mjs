// What the console says in words, where it is worked out.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createServer } from "vite";

let vite;
let happens;
let keptInWords;
let outcome;
let time;

before(async () => {
  vite = await createServer({ root: new URL("../..", import.meta.url).pathname, server: { middlewareMode: true, ws: false }, logLevel: "error" });
  ({ happens } = await vite.ssrLoadModule("/src/pages/settings/happens.ts"));
  ({ keptInWords } = await vite.ssrLoadModule("/src/pages/machine/kept.ts"));
  ({ outcome } = await vite.ssrLoadModule("/src/pages/jobs/words.ts"));
  time = await vite.ssrLoadModule("/src/say/time.ts");
});

after(() => vite.close());

const ISSUER = { issuer: "https://a", client_id: "b", label: "A", groups: [] };
const grant = (role, scope = "all") => ({ role, scope });

test("single sign-on: who is let in, and what a change does", () => {
  assert.deepEqual(happens(null, null), []);
  assert.match(happens(ISSUER, null).join(" "), /log in by “A”.*Nobody else is let in: no group gives a role\./);
  const groups = [{ group: "ops", grants: [grant("operator"), grant("restore-operator", "machine:web")] }];
  assert.match(happens({ ...ISSUER, groups }, null).join(" "), /group ops comes in as operator of everything and restore-operator of machine web\./);
  const both = [{ group: "all", grants: [grant("administrator"), grant("restore-operator")] }];
  assert.match(happens({ ...ISSUER, groups: both }, null).join(" "), /exclude each other: nobody of the group all/);
  assert.match(happens({ ...ISSUER, issuer: "https://c" }, ISSUER).join(" "), /known by https:\/\/a is not let in by https:\/\/c/);
  assert.match(happens(null, ISSUER).join(" "), /Nobody can log in by single sign-on any more/);
});

test("until when a point is kept", () => {
  const now = Date.parse("2026-11-23T10:00:00Z");
  assert.equal(keptInWords(null, now), "");
  assert.match(keptInWords({ until: null, as: "newest" }, now), /as long as it is the newest/);
  assert.match(keptInWords({ until: "2026-11-24T10:00:00Z", as: "all" }, now), /^Kept until 2026-11-24 .*, as all points are\.$/);
  assert.match(keptInWords({ until: "2026-12-24T10:00:00Z", as: "day" }, now), /as the newest of its day\.$/);
  assert.match(keptInWords({ until: "2026-11-22T10:00:00Z", as: "hour" }, now), /until points are forgotten next/);
});

test("what came of a restore, and what is damaged", () => {
  const job = (result) => ({ result });
  const said = { file: "/r/a.img", written_bytes: 1024, compared_bytes: 0, zeroed_bytes: 0, unreadable: [], complete: true };
  assert.equal(outcome(job(said)), "1.00 KiB written to /r/a.img");
  const lost = { ...said, compared_bytes: 2048, unreadable: [{ from: 4096, to: 8192, why: "x" }] };
  assert.equal(outcome(job(lost)), "1.00 KiB written to /r/a.img, 2.00 KiB compared; damaged, and not restored: bytes 4,096 to 8,192");
});

test("times that are over in a moment", () => {
  assert.deepEqual([0.25, 5.84, 250.4, 1250].map(time.short), ["0.3 ms", "5.8 ms", "250 ms", "1.25 s"]);
});

// What is seen of a machine whose disk is in use and followed: how long writers were held still, what the calendar will leave, a
// machine that is suspended.
// Never knows: how points are made.
import assert from "node:assert/strict";

/** `tell`: what all flows share: `test`, `as`, `world()`, `pictures`. */
export function live({ test, as, world, pictures }) {
  test("a disk in use is followed, and how long writers were held still is seen", async () => {
    const operator = await world().somebody("olga");
    const { code } = await operator.post("enrolments", { machine: "busy", seconds: 3600 });
    world().enroll("busy", code);
    const following = world().follow("busy", "busy.img");
    await as("olga", async (page) => {
      await page.goto("/machines/busy");
      const held = page.locator("figure", { hasText: "Writers held still" });
      await held.getByText(/at most [\d.]+ m?s for a point/).waitFor({ timeout: 60_000 });
      await page.getByRole("cell", { name: /^[\d.]+ ms$/ }).first().waitFor();
      const { points } = await page.evaluate(async () => (await fetch("/api/v1/machines/busy/points")).json());
      assert.ok(points.some((point) => point.frozen_ms > 0 && point.frozen_ms < 5000), JSON.stringify(points));
      await page.screenshot({ path: `${pictures}live.png`, fullPage: true });
    });
    following.end();
  });

  test("what the calendar will leave is seen before it is done", async () => {
    await as("olga", async (page) => {
      await page.goto("/machines/files");
      await page.getByText("No points are forgotten by themselves.").waitFor();
    });
    await as("admin", async (page) => {
      await page.goto("/machines/files");
      await page.getByRole("link", { name: "Say how long they are kept" }).click();
      await page.getByRole("button", { name: "Set a time" }).click();
      await page.getByRole("button", { name: "Set", exact: true }).click();
      await page.getByText("one a day for 90 d").waitFor();
      await page.goto("/machines/files");
      await page.getByText("Kept: all for 2 d, one an hour for 14 d").waitFor();
      await page.getByText("Kept for as long as it is the newest.").waitFor();
      const main = page.locator(".picture.main canvas");
      const before = await main.evaluate((canvas) => canvas.toDataURL());
      await page.getByLabel("Points as they will be").selectOption({ label: "in 30 days" });
      // Three of one hour, but at its turn.
      await page.getByText(/Of these 3 points [12] will be left at/).waitFor();
      await page.waitForFunction((drawn) => document.querySelector(".picture.main canvas")?.toDataURL() !== drawn, before);
      await page.screenshot({ path: `${pictures}ahead.png`, fullPage: true });
      await page.getByLabel("Points as they will be").selectOption({ label: "in a year" });
      await page.getByText("Of these 3 points 1 will be left at").waitFor();
      await page.getByRole("cell", { name: "there is a newer one" }).waitFor();
    });
  });

  test("a machine that is suspended is shown as that, with the reason, wherever it is shown", async () => {
    await as("paul", async (page) => {
      const row = page.getByRole("row", { name: /files/ });
      await row.waitFor();
      const operator = await world().somebody("olga");
      await operator.post("machines/files/suspend", { reason: "a new cabinet", seconds: 3600 });
      // By itself: nothing is loaded anew.
      await row.getByText("suspended").waitFor();
      await row.getByText(/until .*: a new cabinet/).waitFor();
      assert.equal(await row.getByText("well", { exact: true }).count(), 0);
      await page.getByText("1 suspended").waitFor();
      await page.screenshot({ path: `${pictures}suspended.png` });
      await row.getByRole("link", { name: "files" }).click();
      await page.getByText("Suspended until").waitFor();
      await page.locator(".note").getByText("a new cabinet").waitFor();
      await operator.post("machines/files/resume", {});
      await page.getByText("Suspended until").waitFor({ state: "detached" });
    });
  });
}

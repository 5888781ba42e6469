// The main flows with a keyboard alone: no mouse, and no focus that is put anywhere.
// Never knows: what the flows are for.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { Visitor } from "../browser.mjs";
import { totp } from "../totp.mjs";
import { PASSWORD } from "../world.mjs";

/** Nothing on a page is farther away. */
const FAR = 200;

/** Goes to something by Tab, as somebody who sees where the focus is. */
async function tabTo(page, wanted) {
  await wanted.waitFor();
  for (let steps = 0; steps < FAR; steps += 1) {
    if (await wanted.evaluate((element) => element === document.activeElement)) {
      const ring = await wanted.evaluate((element) => getComputedStyle(element).outlineStyle);
      assert.notEqual(ring, "none", "the focus is seen");
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`no way by Tab to ${wanted}`);
}

async function type(page, field, text) {
  await tabTo(page, field);
  await page.keyboard.press("Control+A");
  await page.keyboard.type(text);
}

async function press(page, wanted) {
  await tabTo(page, wanted);
  await page.keyboard.press("Enter");
}

export function keyboard({ test, world, browser }) {
  /** Somebody who logs in by keyboard. */
  async function come(name, act, secret = null) {
    const visitor = await Visitor.come(browser(), world().url);
    const { page } = visitor;
    await page.goto("/");
    await type(page, page.getByLabel("Name"), name);
    await type(page, page.getByLabel("Password"), PASSWORD);
    await page.keyboard.press("Enter");
    if (secret !== null) {
      await type(page, page.getByLabel("Code of the second factor"), totp(secret));
      await page.keyboard.press("Enter");
    }
    await page.getByRole("heading", { name: "Machines" }).waitFor();
    await act(page);
    assert.deepEqual(visitor.wrongs, []);
    await visitor.leave();
  }

  test("by keyboard: logging in with a second factor", async () => {
    const admin = await world().somebody("admin");
    await admin.post("people", { name: "tom", password: PASSWORD, grants: [{ role: "operator", scope: "all" }] });
    const tom = await world().somebody("tom");
    const { secret } = await tom.post("me/totp", { password: PASSWORD });
    await tom.post("me/totp/confirm", { code: totp(secret, Date.now(), -1) });
    await come("tom", async () => undefined, secret);
  });

  test("by keyboard: a machine is enrolled", async () => {
    await come("olga", async (page) => {
      await press(page, page.getByRole("link", { name: "Enrolments" }));
      await type(page, page.getByLabel("Machine"), "keys");
      await page.keyboard.press("Enter");
      await page.getByText("For keys, until").waitFor();
      await press(page, page.getByRole("button", { name: "Copy the commands" }));
      await page.getByText("Copied").waitFor();
    });
  });

  test("by keyboard: a file and a whole disk come back", async () => {
    await come("paul", async (page) => {
      await press(page, page.getByRole("link", { name: "files", exact: true }));
      await page.getByRole("slider").waitFor();
      await tabTo(page, page.getByRole("slider"));
      await page.keyboard.press("End");
      await press(page, page.getByRole("link", { name: "Look inside and restore" }));
      await press(page, page.getByRole("button", { name: "letters/" }));
      const file = page.getByRole("link", { name: "offer.txt", exact: true });
      await tabTo(page, file);
      const [got] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("Enter")]);
      assert.equal(readFileSync(await got.path(), "utf8"), "Twenty servers.\n");
      await type(page, page.getByLabel("File", { exact: true }), "by-keys.img");
      await page.keyboard.press("Enter");
      await page.getByText("to by-keys.img: done").waitFor();
      assert.equal(world().readFrom(world().path("restores/by-keys.img"), "letters/offer.txt"), "Twenty servers.\n");
    });
  });
}
